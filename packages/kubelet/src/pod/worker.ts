import { rm } from 'node:fs/promises';
import type { V1Container, V1ObjectReference, V1Pod, V1PodStatus } from '@wherry/api';
import { codeOf, type Logger, messageOf } from '@wherry/base';
import { resources } from '@wherry/client';
import type { ContainerStatus } from '@wherry/runtime';
import type { DownwardFacts, MountedVolumes } from '@wherry/volumes';
import { type RecordEvent, StartFailure } from '../images/image-puller.ts';
import { Prober } from '../probes/prober.ts';
import { type BackOff, nextBackOff } from './back-off.ts';
import { podLogDirectory, startContainer } from './container-starter.ts';
import { podDns } from './dns.ts';
import { killContainers } from './kill.ts';
import { containerHash, type ObservedPod, observedPod, podLabels, runsOf } from './labels.ts';
import type { NodeContext } from './node-context.ts';
import { type ContainerHealth, type Plan, planPod, readySandbox, type StartAction } from './plan.ts';
import { referencesOf } from './references.ts';
import { sandboxConfig } from './sandbox-config.ts';
import { podStatusOf } from './status.ts';
import { writePodStatus } from './status-writer.ts';
import { terminationMessage } from './termination-message.ts';

/** A pod that just starts is not worth a write of its own unless it takes this long (ms). */
const quietStart = 200;

interface Failure {
  readonly reason: string;
  readonly message: string;
  /** ms; `undefined`: when something that the pod refers to changes. */
  readonly retryAt: number | undefined;
  readonly hash: string;
}

type Life = 'new' | 'running' | 'ending' | 'ended' | 'gone';

/**
 * Brings one pod to what its object says and reports what it found. Level-triggered: whatever
 * happens only wakes it; a pass looks at the runtime, plans, acts and writes the status. One pass
 * runs at a time; starts and stops of containers run beside it and wake it when they end.
 */
export class PodWorker {
  readonly uid: string;
  readonly #node: NodeContext;
  readonly #log: Logger;
  readonly #backOffs = new Map<string, BackOff>();
  readonly #failures = new Map<string, Failure>();
  readonly #probers = new Map<string, Prober>();
  readonly #messages = new Map<string, string>();
  readonly #imageNames = new Map<string, string>();
  readonly #tasks = new Map<string, Promise<void>>();
  readonly #stop = new AbortController();
  readonly #firstSeen: number;
  #pod: V1Pod;
  /** The status as last written, until the watch brings it back. */
  #written: V1Pod | undefined;
  #life: Life = 'new';
  #apiGone = false;
  #mounted: MountedVolumes | undefined;
  #volumesStale = false;
  #verdict: { phase: 'Failed'; reason: string; message: string } | undefined;
  #waiting: Plan['waiting'] = new Map();
  #running = false;
  #again = false;
  #timer: { readonly at: number; readonly timer: Disposable } | undefined;
  #errorDelay = 1000;
  #grace: number | undefined;
  #killing: Promise<void> | undefined;
  #status: V1PodStatus | undefined;

  constructor(node: NodeContext, pod: V1Pod) {
    this.#node = node;
    this.#pod = pod;
    this.uid = pod.metadata?.uid ?? '';
    this.#firstSeen = node.clock.now();
    const { namespace, name } = pod.metadata ?? {};
    this.#log = node.log.with({ pod: `${namespace}/${name}`, uid: this.uid });
    this.#track();
  }

  get pod(): V1Pod {
    return this.#pod;
  }

  /** Whether containers of this pod may still run or start. */
  get active(): boolean {
    return this.#life === 'new' || this.#life === 'running' || this.#life === 'ending';
  }

  /** The status as of the last pass. */
  get status(): V1PodStatus | undefined {
    return this.#status;
  }

  update(pod: V1Pod): void {
    this.#pod = pod;
    this.#written = undefined;
    this.#track();
    if (this.#life === 'ending') this.#shortenGrace();
    this.wake();
  }

  /** The object is gone from the API (deleted by force, or by our own last act). */
  removed(): void {
    this.#apiGone = true;
    if (this.#life === 'ending') this.#shortenGrace();
    this.wake();
  }

  /** Something that the pod refers to changed. */
  referencesChanged(): void {
    this.#volumesStale = true;
    for (const [name, failure] of this.#failures) if (failure.retryAt === undefined) this.#failures.delete(name);
    this.wake();
  }

  wake(): void {
    if (this.#life === 'gone') return;
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#running = true;
    void this.#passes();
  }

  /** Stops working; containers go on. */
  detach(): void {
    this.#life = 'gone';
    this.#stop.abort();
    this.#clearTimer();
    for (const prober of this.#probers.values()) prober[Symbol.dispose]();
    this.#probers.clear();
    this.#node.watches.track(this.uid, '', []);
  }

  #track(): void {
    if (this.#life === 'ended' || this.#life === 'gone') return;
    this.#node.watches.track(this.uid, this.#pod.metadata?.namespace ?? '', referencesOf(this.#pod));
  }

  async #passes(): Promise<void> {
    do {
      this.#again = false;
      try {
        await this.#pass();
        this.#errorDelay = 1000;
      } catch (error) {
        this.#log.warn('a pass over the pod failed', { error: messageOf(error), code: codeOf(error) });
        this.#wakeAt(this.#node.clock.now() + this.#errorDelay);
        this.#errorDelay = Math.min(this.#errorDelay * 2, 120_000);
      }
    } while (this.#again && !this.#gone());
    this.#running = false;
  }

  #gone(): boolean {
    return this.#life === 'gone';
  }

  async #pass(): Promise<void> {
    if (this.#gone()) return;
    if (this.#life === 'ended') return this.#finish();
    const deleted = this.#apiGone || this.#pod.metadata?.deletionTimestamp !== undefined;
    const observed = await this.#observe();
    if (this.#life === 'new') await this.#begin(observed, deleted);
    this.#checkDeadline();
    if (deleted || this.#verdict || this.#life === 'ending') return this.#end();
    await this.#run(observed);
  }

  async #begin(observed: ObservedPod, deleted: boolean): Promise<void> {
    this.#life = 'running';
    const phase = this.#pod.status?.phase;
    if (phase === 'Succeeded' || phase === 'Failed') {
      const { reason, message = '' } = this.#pod.status ?? {};
      if (phase === 'Failed' && reason !== undefined) this.#verdict = { phase, reason, message };
      this.#life = 'ending';
      return;
    }
    if (deleted || observed.sandboxes.length > 0) return;
    const refusal = await this.#node.admit(this.#pod);
    if (refusal === undefined) return;
    this.#verdict = { phase: 'Failed', reason: refusal.reason, message: `Pod was rejected: ${refusal.message}` };
    this.#record('Warning', refusal.reason, refusal.message);
  }

  #checkDeadline(): void {
    const seconds = this.#pod.spec?.activeDeadlineSeconds;
    if (seconds === undefined || this.#verdict || this.#life !== 'running') return;
    const due = this.#startTime() + seconds * 1000;
    if (due > this.#node.clock.now()) {
      this.#wakeAt(due);
      return;
    }
    const message = 'Pod was active on the node longer than the specified deadline';
    this.#verdict = { phase: 'Failed', reason: 'DeadlineExceeded', message };
    this.#record('Normal', 'DeadlineExceeded', message);
  }

  #startTime(): number {
    const known = this.#pod.status?.startTime;
    return known === undefined ? this.#firstSeen : Date.parse(known);
  }

  async #run(observed: ObservedPod): Promise<void> {
    const plan = this.#plan(observed);
    this.#noteBackOffs(plan);
    if (plan.finished) {
      this.#life = 'ending';
      return this.#end();
    }
    for (const stop of plan.stops) this.#stopOne(stop.container, stop.message, stop.graceSeconds);
    if (plan.createSandbox) {
      if (!(await this.#makeSandbox(observed, plan.createSandbox.attempt))) return this.#report(observed, plan);
      this.#again = true;
      return;
    }
    if (plan.sandbox && (await this.#haveVolumes(plan.sandbox.ips))) {
      // In the order of the list, each after the one before it and its postStart hook, as upstream does.
      let before = Promise.resolve();
      for (const start of plan.starts) before = this.#startOne(start, observed, before) ?? before;
    }
    this.#adopt(observed);
    await this.#report(observed, plan);
    await this.#collect(observed);
    if (plan.wakeAt !== undefined) this.#wakeAt(plan.wakeAt);
  }

  #plan(observed: ObservedPod): Plan {
    const { clock, restartBackOff } = this.#node;
    const plan = planPod({
      pod: this.#pod,
      observed,
      health: this.#health(),
      busy: new Set(this.#tasks.keys()),
      backOffs: this.#backOffs,
      settings: restartBackOff,
      now: clock.now(),
    });
    return plan;
  }

  #health(): Map<string, ContainerHealth> {
    return new Map([...this.#probers].map(([id, prober]) => [id, prober.health]));
  }

  #noteBackOffs(plan: Plan): void {
    const { name, namespace } = this.#pod.metadata ?? {};
    for (const [container, { reason }] of plan.waiting) {
      if (reason !== 'CrashLoopBackOff' || this.#waiting.has(container)) continue;
      const message = `Back-off restarting failed container ${container} in pod ${name}_${namespace}(${this.uid})`;
      this.#recorder(container)('Warning', 'BackOff', message);
    }
    this.#waiting = plan.waiting;
  }

  async #observe(): Promise<ObservedPod> {
    const { runtime, images } = this.#node;
    const labels = { [podLabels.uid]: this.uid };
    const [sandboxes, containers] = await Promise.all([
      runtime.listPodSandboxes({ labels }),
      runtime.listContainers({ labels }),
    ]);
    const live = new Set<string>();
    for (const run of containers) {
      if (run.state === 'running') live.add(run.id);
      if (run.state === 'exited' && !this.#messages.has(run.id))
        this.#messages.set(run.id, await terminationMessage(run));
      if (!this.#imageNames.has(run.imageId)) {
        const status = await images.imageStatus(run.imageId).catch(() => undefined);
        const wanted = this.#containers().find(({ name }) => name === run.metadata.name)?.image ?? run.image;
        this.#imageNames.set(run.imageId, shownName(wanted, status?.repoTags ?? [], status?.repoDigests ?? []));
      }
    }
    for (const [id, prober] of this.#probers) {
      if (live.has(id)) continue;
      prober[Symbol.dispose]();
      this.#probers.delete(id);
    }
    return observedPod(sandboxes, containers);
  }

  #containers(): V1Container[] {
    const { initContainers = [], containers = [], ephemeralContainers = [] } = this.#pod.spec ?? { containers: [] };
    return [...initContainers, ...containers, ...(ephemeralContainers as V1Container[])];
  }

  async #makeSandbox(observed: ObservedPod, attempt: number): Promise<boolean> {
    const { runtime } = this.#node;
    const old = observed.sandboxes[0];
    if (old) {
      this.#record('Normal', 'SandboxChanged', 'Pod sandbox changed, it will be killed and re-created.');
      await runtime.stopPodSandbox(old.id);
    }
    // Volumes that need no address are made meanwhile.
    const volumes = this.#haveVolumes([]);
    try {
      const [dns, runtimeHandler] = await Promise.all([this.#node.hostDns(), this.#node.runtimeHandler(this.#pod)]);
      await runtime.runPodSandbox(
        sandboxConfig(this.#pod, {
          attempt,
          logDirectory: podLogDirectory(this.#node.logDirectory, this.#pod),
          dns: podDns(this.#pod, this.#node.clusterDns, dns),
          cgroupRoot: this.#node.cgroupRoot,
          runtimeHandler,
          nodeName: this.#node.nodeName,
        }),
      );
    } catch (error) {
      this.#record('Warning', 'FailedCreatePodSandBox', `Failed to create pod sandbox: ${messageOf(error)}`);
      this.#retry();
      return false;
    } finally {
      await volumes;
    }
    return true;
  }

  #retry(): void {
    this.#wakeAt(this.#node.clock.now() + this.#errorDelay);
    this.#errorDelay = Math.min(this.#errorDelay * 2, 120_000);
  }

  #facts(podIps: readonly string[]): DownwardFacts {
    const own = this.#pod.spec?.hostNetwork === true ? this.#node.nodeIps : podIps;
    return { allocatable: this.#node.allocatable(), hostIps: this.#node.nodeIps, podIps: own };
  }

  async #haveVolumes(podIps: readonly string[]): Promise<boolean> {
    const due = this.#mounted?.refreshAt !== undefined && this.#mounted.refreshAt <= this.#node.clock.now();
    if (this.#mounted && !this.#volumesStale && !due) return true;
    this.#volumesStale = false;
    try {
      if (this.#mounted) {
        const fresh = await this.#node.volumes.refresh(this.#pod, this.#facts(podIps));
        this.#mounted = { volumes: this.#mounted.volumes, refreshAt: fresh.refreshAt };
      } else this.#mounted = await this.#node.volumes.mount(this.#pod, this.#facts(podIps));
      if (this.#mounted.refreshAt !== undefined) this.#wakeAt(this.#mounted.refreshAt);
      return true;
    } catch (error) {
      this.#record('Warning', 'FailedMount', messageOf(error));
      // A missing object is watched; anything else is tried again.
      this.#retry();
      return this.#mounted !== undefined;
    }
  }

  #startOne(action: StartAction, observed: ObservedPod, before: Promise<void>): Promise<void> | undefined {
    const { container } = action;
    const { clock, restartBackOff } = this.#node;
    const failure = this.#failures.get(container.name);
    const now = clock.now();
    if (failure && failure.hash === containerHash(container)) {
      if (failure.retryAt === undefined) return undefined;
      if (failure.retryAt > now) {
        this.#wakeAt(failure.retryAt);
        return undefined;
      }
    }
    const sandbox = readySandbox(this.#pod, observed);
    const mounted = this.#mounted;
    if (sandbox === undefined || mounted === undefined) return undefined;
    const record = this.#recorder(container.name, action.sort);
    const run = async (): Promise<void> => {
      await before;
      if (this.#stop.signal.aborted) return;
      if (action.after !== undefined) {
        const { name } = container;
        this.#backOffs.set(name, nextBackOff(this.#backOffs.get(name), action.after, now, restartBackOff));
      }
      const facts = this.#facts(sandbox.ips);
      const id = await startContainer(this.#node, {
        pod: this.#pod,
        action,
        sandbox,
        mounted,
        facts,
        record,
        signal: this.#stop.signal,
        onStarted: () => undefined,
      });
      this.#failures.delete(container.name);
      this.#probe(container, id, facts.podIps[0], undefined);
    };
    return this.#task(container.name, run, container);
  }

  #task(name: string, work: () => Promise<void>, container?: V1Container): Promise<void> {
    const task = work()
      .catch((error: unknown) => {
        if (this.#stop.signal.aborted) return;
        if (error instanceof StartFailure && container) {
          const retryAt = error.retryAfterMs === undefined ? undefined : this.#node.clock.now() + error.retryAfterMs;
          const { reason, message } = error;
          this.#failures.set(name, { reason, message, retryAt, hash: containerHash(container) });
        } else {
          this.#log.warn('a task of the pod failed', { container: name, error: messageOf(error) });
          this.#retry();
        }
      })
      .finally(() => {
        this.#tasks.delete(name);
        this.wake();
      });
    this.#tasks.set(name, task);
    return task;
  }

  #probe(
    container: V1Container,
    id: string,
    host: string | undefined,
    initial: { started: boolean; ready: boolean } | undefined,
  ): void {
    if (this.#stop.signal.aborted || this.#probers.has(id)) return;
    const { runtime, clock } = this.#node;
    const record = this.#recorder(container.name);
    const prober = new Prober({
      target: { container, containerId: id, host: host ?? '127.0.0.1' },
      runtime,
      clock,
      initial,
      onChange: () => this.wake(),
      onEvent: (reason, message) => record('Warning', reason, message),
    });
    this.#probers.set(id, prober);
  }

  /** Takes over what runs already (after a restart of this process). */
  #adopt(observed: ObservedPod): void {
    const ip = observed.sandboxes[0]?.ips[0] ?? (this.#pod.spec?.hostNetwork ? this.#node.nodeIps[0] : undefined);
    for (const container of this.#containers()) {
      const run = runsOf(observed, container.name)[0];
      if (run?.state !== 'running' || this.#tasks.has(container.name) || this.#probers.has(run.id)) continue;
      const all = [...(this.#pod.status?.containerStatuses ?? []), ...(this.#pod.status?.initContainerStatuses ?? [])];
      const known = all.find((status) => status.containerID?.endsWith(`//${run.id}`));
      this.#probe(container, run.id, ip, known && { started: known.started === true, ready: known.ready });
    }
  }

  #stopOne(run: ContainerStatus, message: string, graceSeconds: number | undefined): void {
    const { name } = run.metadata;
    if (this.#tasks.has(name)) return;
    const grace = graceSeconds ?? this.#pod.spec?.terminationGracePeriodSeconds ?? 30;
    void this.#task(name, async () => {
      await killContainers(this.#node, this.#pod, [run], {
        grace,
        message,
        host: '',
        record: (container) => this.#recorder(container),
      });
    });
  }

  /** Keeps the newest run and the one before it of each container, and no empty old sandboxes. */
  async #collect(observed: ObservedPod): Promise<void> {
    const { runtime } = this.#node;
    const names = new Set(observed.containers.map(({ metadata }) => metadata.name));
    const kept = new Set(observed.sandboxes[0] ? [observed.sandboxes[0].id] : []);
    for (const name of names) {
      const dead = runsOf(observed, name).filter(({ state }, at) => at > 1 && state !== 'running');
      for (const run of dead) {
        await runtime.removeContainer(run.id);
        await rm(run.logPath, { force: true });
        this.#messages.delete(run.id);
      }
      for (const run of runsOf(observed, name)) if (!dead.includes(run)) kept.add(run.sandboxId);
    }
    for (const sandbox of observed.sandboxes) {
      if (kept.has(sandbox.id)) continue;
      await runtime.stopPodSandbox(sandbox.id);
      await runtime.removePodSandbox(sandbox.id);
    }
  }

  async #report(observed: ObservedPod, plan: Plan | undefined): Promise<void> {
    const waiting = new Map<string, { reason: string; message?: string }>();
    for (const [name, { reason, message }] of this.#failures) waiting.set(name, { reason, message });
    for (const [name, state] of plan?.waiting ?? []) waiting.set(name, state);
    const now = this.#node.clock.now();
    const ending = this.#life === 'ending' && plan === undefined;
    const status = podStatusOf({
      pod: this.#written ?? this.#pod,
      observed,
      health: this.#health(),
      busy: new Set(this.#tasks.keys()),
      waiting,
      messages: this.#messages,
      imageNames: this.#imageNames,
      runtimeName: this.#node.runtimeName(),
      now,
      startTime: this.#startTime(),
      hostIps: this.#node.nodeIps,
      verdict: ending ? this.#verdict : undefined,
      ending,
    });
    // A pod never comes back from its end, whatever became of its containers.
    const before = this.#pod.status?.phase;
    if (before === 'Succeeded' || before === 'Failed') status.phase = before;
    this.#status = status;
    const starting = status.phase === 'Pending' && waiting.size === 0 && this.#pod.status?.startTime === undefined;
    if (starting && now < this.#firstSeen + quietStart && !ending) return this.#wakeAt(this.#firstSeen + quietStart);
    if (this.#apiGone) return;
    const written = await writePodStatus(this.#node.client, this.#written ?? this.#pod, status);
    if (written === undefined) this.#apiGone = true;
    else this.#written = written;
  }

  #shortenGrace(): void {
    const asked = this.#askedGrace();
    if (this.#grace === undefined || asked >= this.#grace || this.#killing === undefined) return;
    this.#grace = asked;
    const { runtime } = this.#node;
    void (async () => {
      for (const run of await runtime.listContainers({ labels: { [podLabels.uid]: this.uid } }))
        if (run.state === 'running') await runtime.stopContainer(run.id, asked);
    })().catch((error: unknown) => this.#log.warn('cannot stop a container sooner', { error: messageOf(error) }));
  }

  #askedGrace(): number {
    const { deletionTimestamp, deletionGracePeriodSeconds } = this.#pod.metadata ?? {};
    if (deletionTimestamp !== undefined && deletionGracePeriodSeconds !== undefined) return deletionGracePeriodSeconds;
    return this.#apiGone
      ? Math.min(this.#pod.spec?.terminationGracePeriodSeconds ?? 30, 2)
      : (this.#pod.spec?.terminationGracePeriodSeconds ?? 30);
  }

  /** Ends the pod: no more starts, everything stopped, status, volumes and network given back. */
  async #end(): Promise<void> {
    this.#life = 'ending';
    if (this.#killing) return;
    this.#killing = this.#terminate()
      .then(() => {
        this.#life = 'ended';
      })
      .catch((error: unknown) => {
        this.#log.warn('cannot end the pod', { error: messageOf(error) });
        this.#retry();
      })
      .finally(() => {
        this.#killing = undefined;
        this.wake();
      });
  }

  async #terminate(): Promise<void> {
    const { runtime, volumes, watches } = this.#node;
    this.#grace = this.#askedGrace();
    this.#stop.abort();
    for (const prober of this.#probers.values()) prober[Symbol.dispose]();
    const observed = await this.#observe();
    const host = observed.sandboxes[0]?.ips[0] ?? this.#node.nodeIps[0] ?? '';
    await killContainers(this.#node, this.#pod, observed.containers, {
      grace: this.#grace,
      message: undefined,
      host,
      record: (container) => this.#recorder(container),
    });
    await Promise.all(this.#tasks.values());
    // What a task had just started when it was told to stop.
    for (const run of (await this.#observe()).containers)
      if (run.state === 'running') await runtime.stopContainer(run.id, 0);
    this.#probers.clear();
    await this.#report(await this.#observe(), undefined);
    for (const { id } of observed.sandboxes) await runtime.stopPodSandbox(id);
    watches.track(this.uid, '', []);
    await volumes.remove(this.uid);
  }

  /** An ended pod keeps its containers (for logs) until its object is deleted. */
  async #finish(): Promise<void> {
    const { client, runtime } = this.#node;
    const { name = '', namespace, deletionTimestamp } = this.#pod.metadata ?? {};
    if (!this.#apiGone && deletionTimestamp === undefined) return;
    for (const { id } of (await this.#observe()).sandboxes) {
      await runtime.stopPodSandbox(id);
      await runtime.removePodSandbox(id);
    }
    await this.#node.volumes.remove(this.uid);
    await rm(podLogDirectory(this.#node.logDirectory, this.#pod), { recursive: true, force: true });
    if (!this.#apiGone) {
      try {
        await client.delete(
          resources.pods,
          { namespace, name },
          { gracePeriodSeconds: 0, preconditions: { uid: this.uid } },
        );
      } catch (error) {
        if (codeOf(error) !== 'notFound' && codeOf(error) !== 'conflict') throw error;
        this.#apiGone = true;
      }
      // Finalizers may keep the object; its deletion event ends the worker.
      if (!this.#apiGone) return;
    }
    this.detach();
    this.#node.gone(this.uid);
  }

  #wakeAt(at: number): void {
    if (this.#timer && this.#timer.at <= at && this.#timer.at > this.#node.clock.now()) return;
    this.#clearTimer();
    const timer = this.#node.clock.after(Math.max(at - this.#node.clock.now(), 0), () => {
      this.#timer = undefined;
      this.wake();
    });
    this.#timer = { at, timer };
  }

  #clearTimer(): void {
    this.#timer?.timer[Symbol.dispose]();
    this.#timer = undefined;
  }

  #reference(): V1ObjectReference {
    const { name, namespace, uid, resourceVersion } = this.#pod.metadata ?? {};
    return { apiVersion: 'v1', kind: 'Pod', name, namespace, uid, resourceVersion };
  }

  #record(type: 'Normal' | 'Warning', reason: string, message: string): void {
    this.#node.recordEvent(this.#reference(), type, reason, message);
  }

  /** Records events about one container (`spec.containers{c}`). */
  #recorder(container: string, sort?: StartAction['sort']): RecordEvent {
    const isInit = sort === 'init' || this.#pod.spec?.initContainers?.some(({ name }) => name === container);
    const isEphemeral = this.#pod.spec?.ephemeralContainers?.some(({ name }) => name === container);
    const list = isInit ? 'initContainers' : isEphemeral ? 'ephemeralContainers' : 'containers';
    return (type, reason, message) =>
      this.#node.recordEvent({ ...this.#reference(), fieldPath: `spec.${list}{${container}}` }, type, reason, message);
  }
}

/** The name under which an image is shown: its full name that matches what the pod says. */
export function shownName(wanted: string, tags: readonly string[], digests: readonly string[]): string {
  const names = [...tags, ...digests];
  const tagged =
    wanted.includes('@') || wanted.slice(wanted.lastIndexOf('/') + 1).includes(':') ? wanted : `${wanted}:latest`;
  return names.find((name) => name === tagged || name.endsWith(`/${tagged}`)) ?? names[0] ?? wanted;
}
