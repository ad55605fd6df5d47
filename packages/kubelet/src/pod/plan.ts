import type { V1Container, V1Pod } from '@wherry/api';
import type { ContainerStatus, PodSandboxStatus } from '@wherry/runtime';
import { type BackOff, type BackOffSettings, backOffLeft, goDuration } from './back-off.ts';
import { containerHash, type ObservedPod, podLabels, runsOf } from './labels.ts';
import { isSidecar } from './resources.ts';

export type ContainerSort = 'init' | 'main' | 'ephemeral';

/** What probes and hooks found out about a running container, by its id. */
export interface ContainerHealth {
  /** The startup probe passed (or there is none) and the postStart hook ended. */
  readonly started: boolean;
  /** The readiness probe's last verdict; true without a probe once started. */
  readonly ready: boolean;
  /** Set when a liveness or startup probe failed for good. */
  readonly failed?: { readonly probe: 'liveness' | 'startup'; readonly graceSeconds?: number | undefined } | undefined;
}

export interface PlanInput {
  readonly pod: V1Pod;
  readonly observed: ObservedPod;
  readonly health: ReadonlyMap<string, ContainerHealth>;
  /** Containers that somebody is starting or stopping right now. */
  readonly busy: ReadonlySet<string>;
  readonly backOffs: ReadonlyMap<string, BackOff>;
  readonly settings: BackOffSettings;
  readonly now: number;
}

export interface StartAction {
  readonly sort: ContainerSort;
  readonly container: V1Container;
  readonly attempt: number;
  /** When the run before it ended (ms): what the back-off counts from. */
  readonly after: number | undefined;
  /** A container that was made for this attempt and never started: it is removed first. */
  readonly unstarted: string | undefined;
}

export interface StopAction {
  readonly container: ContainerStatus;
  readonly message: string;
  readonly graceSeconds?: number | undefined;
}

export interface Plan {
  /** Set when a sandbox has to be made before anything can start. */
  readonly createSandbox: { readonly attempt: number } | undefined;
  readonly sandbox: PodSandboxStatus | undefined;
  readonly starts: readonly StartAction[];
  readonly stops: readonly StopAction[];
  /** Containers that wait although nothing runs for them: reason and message of their state. */
  readonly waiting: ReadonlyMap<string, { readonly reason: string; readonly message: string }>;
  /** When (ms) to plan again if nothing happens before. */
  readonly wakeAt: number | undefined;
  /** Nothing will ever run again in this pod. */
  readonly finished: boolean;
}

/** Whether a container that ended is run again. */
export function restarts(
  pod: V1Pod,
  container: V1Container,
  sort: ContainerSort,
  exitCode: number | undefined,
): boolean {
  if (sort === 'ephemeral') return false;
  if (sort === 'init') return isSidecar(container) || (exitCode !== 0 && pod.spec?.restartPolicy !== 'Never');
  const policy = container.restartPolicy ?? pod.spec?.restartPolicy ?? 'Always';
  return policy === 'Always' || (policy === 'OnFailure' && exitCode !== 0);
}

/** Decides what one pod needs next. Pure: no clock, no I/O. */
export function planPod(input: PlanInput): Plan {
  return new Planner(input).plan();
}

/** The pod's sandbox that containers can run in. */
export function readySandbox(pod: V1Pod, observed: ObservedPod): PodSandboxStatus | undefined {
  const newest = observed.sandboxes[0];
  if (newest === undefined || newest.state !== 'ready') return undefined;
  return pod.spec?.hostNetwork === true || newest.ips.length > 0 ? newest : undefined;
}

class Planner {
  readonly #input: PlanInput;
  readonly #starts: StartAction[] = [];
  readonly #stops: StopAction[] = [];
  readonly #waiting = new Map<string, { reason: string; message: string }>();
  #wakeAt: number | undefined;

  constructor(input: PlanInput) {
    this.#input = input;
  }

  plan(): Plan {
    const { pod, observed } = this.#input;
    const sandbox = readySandbox(pod, observed);
    if (sandbox === undefined) return this.#withoutSandbox();
    const initialised = this.#planInits(sandbox);
    if (initialised === 'failed') return this.#result(sandbox, { finished: true });
    for (const container of pod.spec?.ephemeralContainers ?? [])
      if (initialised === 'done' && this.#runs(container.name).length === 0)
        this.#start('ephemeral', container as V1Container);
    if (initialised === 'done')
      for (const container of pod.spec?.containers ?? []) this.#step('main', container, sandbox);
    const finished = initialised === 'done' && this.#mainsEnded();
    return this.#result(sandbox, { finished });
  }

  #result(sandbox: PodSandboxStatus | undefined, more: { finished: boolean; attempt?: number }): Plan {
    return {
      createSandbox: more.attempt === undefined ? undefined : { attempt: more.attempt },
      sandbox,
      starts: more.finished ? [] : this.#starts,
      stops: more.finished ? [] : this.#stops,
      waiting: this.#waiting,
      wakeAt: this.#wakeAt,
      finished: more.finished,
    };
  }

  #withoutSandbox(): Plan {
    const { observed, busy } = this.#input;
    const old = observed.sandboxes[0];
    for (const container of observed.containers)
      if (container.state === 'running' && !busy.has(container.metadata.name))
        this.#stops.push({ container, message: 'Pod sandbox changed, it will be killed and re-created.' });
    if (old !== undefined && observed.containers.length > 0 && !this.#wantsRun())
      return this.#result(undefined, { finished: this.#stops.length === 0 });
    // Everything of the old sandbox ends first: its containers share names and volumes with the new ones.
    if (this.#stops.length > 0 || busy.size > 0) return this.#result(undefined, { finished: false });
    const attempt = old === undefined ? 0 : old.metadata.attempt + 1;
    return this.#result(undefined, { finished: false, attempt });
  }

  /** Whether any container would run in a new sandbox. */
  #wantsRun(): boolean {
    const { pod } = this.#input;
    const inits = pod.spec?.initContainers ?? [];
    const failedInit = inits.some((init) => {
      const last = this.#runs(init.name)[0];
      return last?.state === 'exited' && last.exitCode !== 0 && !restarts(pod, init, 'init', last.exitCode);
    });
    if (failedInit) return false;
    return (pod.spec?.containers ?? []).some((container) => {
      const last = this.#runs(container.name)[0];
      return last === undefined
        ? pod.spec?.restartPolicy !== 'Never' || !this.#anyMainRan()
        : restarts(pod, container, 'main', last.exitCode ?? 137);
    });
  }

  #anyMainRan(): boolean {
    return (this.#input.pod.spec?.containers ?? []).some(({ name }) => this.#runs(name).length > 0);
  }

  #planInits(sandbox: PodSandboxStatus): 'done' | 'waiting' | 'failed' {
    const { pod, health, busy } = this.#input;
    const mains = pod.spec?.containers ?? [];
    const began = mains.some(({ name }) => this.#inSandbox(name, sandbox) !== undefined || busy.has(name));
    for (const container of pod.spec?.initContainers ?? []) {
      const run = this.#inSandbox(container.name, sandbox);
      if (isSidecar(container)) {
        this.#step('init', container, sandbox);
        if (began) continue;
        const up = run?.state === 'running' && health.get(run.id)?.started === true;
        if (!up || busy.has(container.name)) return 'waiting';
        continue;
      }
      if (began || (run?.state === 'exited' && run.exitCode === 0)) continue;
      if (run?.state === 'exited' && !busy.has(container.name) && !restarts(pod, container, 'init', run.exitCode))
        return 'failed';
      this.#step('init', container, sandbox);
      return 'waiting';
    }
    return 'done';
  }

  #step(sort: ContainerSort, container: V1Container, sandbox: PodSandboxStatus): void {
    const { pod, busy, health } = this.#input;
    if (busy.has(container.name)) return;
    const run = this.#inSandbox(container.name, sandbox);
    if (run === undefined) {
      const before = this.#runs(container.name)[0];
      const succeeded = before?.state === 'exited' && !restarts(pod, container, sort, before.exitCode);
      // Init steps are repeated in a new sandbox: it starts from an empty state.
      if (before === undefined || sort === 'init' || !succeeded) this.#start(sort, container);
      return;
    }
    if (run.state === 'running') {
      const failed = health.get(run.id)?.failed;
      const ending = pod.spec?.restartPolicy === 'Never' ? 'will be terminated' : 'will be restarted';
      if (failed)
        this.#stops.push({
          container: run,
          message: `Container ${container.name} failed ${failed.probe} probe, ${ending}`,
          graceSeconds: failed.graceSeconds,
        });
      else if (
        run.annotations[podLabels.hash] !== undefined &&
        run.annotations[podLabels.hash] !== containerHash(container)
      )
        this.#stops.push({
          container: run,
          message: `Container ${container.name} definition changed, will be restarted`,
        });
      return;
    }
    // `created` and not busy: the process that was starting it is gone.
    if (run.state !== 'exited' || restarts(pod, container, sort, run.exitCode)) this.#start(sort, container);
    else if (
      run.annotations[podLabels.hash] !== undefined &&
      run.annotations[podLabels.hash] !== containerHash(container) &&
      pod.spec?.restartPolicy !== 'Never'
    )
      this.#start(sort, container);
  }

  #start(sort: ContainerSort, container: V1Container): void {
    const { pod, backOffs, settings, now, busy } = this.#input;
    if (busy.has(container.name)) return;
    const runs = this.#runs(container.name);
    const unstarted = runs[0]?.state === 'created' ? runs[0] : undefined;
    const before = runs.find(({ state }) => state !== 'created');
    const after = before && (before.finishedAt ?? before.createdAt);
    const backOff = backOffs.get(container.name);
    const left = after === undefined ? 0 : backOffLeft(backOff, after, now, settings);
    if (left > 0 && backOff !== undefined) {
      this.#wakeAt = Math.min(this.#wakeAt ?? Number.POSITIVE_INFINITY, now + left);
      const { name = '', namespace = '', uid = '' } = pod.metadata ?? {};
      this.#waiting.set(container.name, {
        reason: 'CrashLoopBackOff',
        message: `back-off ${goDuration(backOff.delayMs)} restarting failed container=${container.name} pod=${name}_${namespace}(${uid})`,
      });
      return;
    }
    const next = before === undefined ? statusCount(pod, container.name) : before.metadata.attempt + 1;
    const attempt = unstarted?.metadata.attempt ?? next;
    this.#starts.push({ sort, container, attempt, after, unstarted: unstarted?.id });
  }

  #mainsEnded(): boolean {
    const { pod, busy } = this.#input;
    const mains = pod.spec?.containers ?? [];
    return mains.every((container) => {
      const last = this.#runs(container.name)[0];
      if (last?.state !== 'exited' || busy.has(container.name)) return false;
      return (
        !this.#starts.some((start) => start.container.name === container.name) && !this.#waiting.has(container.name)
      );
    });
  }

  #runs(name: string): readonly ContainerStatus[] {
    return runsOf(this.#input.observed, name);
  }

  #inSandbox(name: string, sandbox: PodSandboxStatus): ContainerStatus | undefined {
    return this.#runs(name).find((run) => run.sandboxId === sandbox.id);
  }
}

/**
 * The next attempt by the API's word, for containers that the runtime no longer knows (after a reboot). A status keeps
 * the id of the last run while the container waits, for its init containers for example.
 */
function statusCount(pod: V1Pod, name: string): number {
  const statuses = [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])];
  const status = statuses.find((one) => one.name === name);
  return status?.containerID === undefined ? 0 : status.restartCount + 1;
}
