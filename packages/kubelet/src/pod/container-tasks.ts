import type { V1Container } from '@wherry/api';
import { messageOf } from '@wherry/base';
import type { ContainerStatus, PodSandboxStatus } from '@wherry/runtime';
import { StartFailure } from '../images/image-puller.ts';
import { type BackOff, nextBackOff } from './back-off.ts';
import { startContainer } from './container-starter.ts';
import { killContainers } from './kill.ts';
import { containerHash } from './labels.ts';
import type { StartAction } from './plan.ts';
import type { PodMounts } from './pod-mounts.ts';
import type { PodProbers } from './pod-probers.ts';
import type { PodScope } from './pod-scope.ts';

interface Failure {
  readonly reason: string;
  readonly message: string;
  /** ms; `undefined`: when something that the pod refers to changes. */
  readonly retryAt: number | undefined;
  readonly hash: string;
}

const imageReasons = new Set(['ErrImagePull', 'ImagePullBackOff', 'ErrImageNeverPull', 'ImageInspectError']);

/** Starts and stops the containers of one pod beside its passes; at most one task a container, each wakes the pod at its end. */
export class ContainerTasks {
  readonly #scope: PodScope;
  readonly #mounts: PodMounts;
  readonly #probers: PodProbers;
  readonly #tasks = new Map<string, Promise<void>>();
  readonly #failures = new Map<string, Failure>();
  readonly #backOffs = new Map<string, BackOff>();

  constructor(scope: PodScope, mounts: PodMounts, probers: PodProbers) {
    this.#scope = scope;
    this.#mounts = mounts;
    this.#probers = probers;
  }

  /** Containers that are being started or stopped right now. */
  busy(): Set<string> {
    return new Set(this.#tasks.keys());
  }

  isBusy(container: string): boolean {
    return this.#tasks.has(container);
  }

  get backOffs(): ReadonlyMap<string, BackOff> {
    return this.#backOffs;
  }

  /** Containers whose last start failed: the waiting state to show. */
  failures(): Map<string, { readonly reason: string; readonly message: string }> {
    return new Map([...this.#failures].map(([name, { reason, message }]) => [name, { reason, message }]));
  }

  /** Tries again what waits for an object that the pod refers to. */
  referencesChanged(): void {
    for (const [name, failure] of this.#failures) if (failure.retryAt === undefined) this.#failures.delete(name);
  }

  /** Tries again at once what waits for an image; whether there was any. */
  imagesChanged(): boolean {
    const waiting = [...this.#failures].filter(([, { reason }]) => imageReasons.has(reason));
    for (const [name] of waiting) this.#failures.delete(name);
    return waiting.length > 0;
  }

  async settled(): Promise<void> {
    await Promise.all(this.#tasks.values());
  }

  /** Starts containers in the order of the list, each after the one before it and its postStart hook, as upstream does. */
  start(actions: readonly StartAction[], sandbox: PodSandboxStatus): void {
    let before = Promise.resolve();
    for (const action of actions) before = this.#startOne(action, sandbox, before) ?? before;
  }

  stop(run: ContainerStatus, message: string, graceSeconds: number | undefined): void {
    const { node, pod, events } = this.#scope;
    const { name } = run.metadata;
    if (this.#tasks.has(name)) return;
    const grace = graceSeconds ?? pod().spec?.terminationGracePeriodSeconds ?? 30;
    const record = (container: string) => events.ofContainer(container);
    void this.#task(name, () => killContainers(node, pod(), [run], { grace, message, host: '', record }));
  }

  #startOne(action: StartAction, sandbox: PodSandboxStatus, before: Promise<void>): Promise<void> | undefined {
    const { container } = action;
    const { node, pod, events, stop } = this.#scope;
    const { mounted } = this.#mounts;
    const now = node.clock.now();
    if (mounted === undefined || this.#failedLately(container, now)) return undefined;
    const record = events.ofContainer(container.name, action.sort);
    const run = async (): Promise<void> => {
      await before;
      if (stop.aborted) return;
      const backOff = this.#countRestart(action, now);
      const facts = this.#mounts.facts(sandbox.ips);
      const request = { pod: pod(), action, sandbox, mounted, facts, record, signal: stop };
      const id = await startContainer(node, { ...request, onStarted: () => undefined }).catch((error: unknown) => {
        // Images have a back-off of their own; nothing was restarted.
        if (error instanceof StartFailure && imageReasons.has(error.reason)) this.#setBackOff(container.name, backOff);
        throw error;
      });
      this.#failures.delete(container.name);
      this.#probers.start(container, id, facts.podIps[0], undefined);
    };
    return this.#task(container.name, run, container);
  }

  #failedLately(container: V1Container, now: number): boolean {
    const failure = this.#failures.get(container.name);
    if (failure === undefined || failure.hash !== containerHash(container)) return false;
    if (failure.retryAt === undefined) return true;
    if (failure.retryAt <= now) return false;
    this.#scope.timer.wakeAt(failure.retryAt);
    return true;
  }

  /** Gives what applied before. */
  #countRestart({ container: { name }, after }: StartAction, now: number): BackOff | undefined {
    const before = this.#backOffs.get(name);
    if (after !== undefined) this.#setBackOff(name, nextBackOff(before, after, now, this.#scope.node.restartBackOff));
    return before;
  }

  #setBackOff(name: string, backOff: BackOff | undefined): void {
    if (backOff === undefined) this.#backOffs.delete(name);
    else this.#backOffs.set(name, backOff);
  }

  #task(name: string, work: () => Promise<void>, container?: V1Container): Promise<void> {
    const { node, log, stop, timer, wake } = this.#scope;
    const task = work()
      .catch((error: unknown) => {
        if (stop.aborted) return;
        if (error instanceof StartFailure && container) {
          const retryAt = error.retryAfterMs === undefined ? undefined : node.clock.now() + error.retryAfterMs;
          const { reason, message } = error;
          this.#failures.set(name, { reason, message, retryAt, hash: containerHash(container) });
        } else {
          log.warn('a task of the pod failed', { container: name, error: messageOf(error) });
          timer.retry();
        }
      })
      .finally(() => {
        this.#tasks.delete(name);
        wake();
      });
    this.#tasks.set(name, task);
    return task;
  }
}
