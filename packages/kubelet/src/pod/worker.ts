import type { V1Pod, V1PodStatus } from '@wherry/api';
import { codeOf, messageOf } from '@wherry/base';
import { ContainerTasks } from './container-tasks.ts';
import type { ObservedPod } from './labels.ts';
import type { NodeContext } from './node-context.ts';
import { type Plan, planPod } from './plan.ts';
import { PodEvents } from './pod-events.ts';
import { PodMounts } from './pod-mounts.ts';
import { PodObserver } from './pod-observer.ts';
import { PodProbers } from './pod-probers.ts';
import { PodReporter, type Verdict } from './pod-reporter.ts';
import { collectDead, makeSandbox } from './pod-sandbox.ts';
import { type PodScope, startTimeOf } from './pod-scope.ts';
import { PodTermination } from './pod-termination.ts';
import { referencesOf } from './references.ts';
import { WakeTimer } from './wake-timer.ts';

type Life = 'new' | 'running' | 'ending' | 'ended' | 'gone';

/**
 * Brings one pod to what its object says and reports what it found. Level-triggered: whatever
 * happens only wakes it; a pass looks at the runtime, plans, acts and writes the status. One pass
 * runs at a time; starts and stops of containers run beside it and wake it when they end.
 */
export class PodWorker {
  readonly uid: string;
  readonly #scope: PodScope;
  readonly #stop = new AbortController();
  readonly #observer: PodObserver;
  readonly #probers: PodProbers;
  readonly #mounts: PodMounts;
  readonly #tasks: ContainerTasks;
  readonly #reporter: PodReporter;
  readonly #termination: PodTermination;
  readonly #firstSeen: number;
  #pod: V1Pod;
  #life: Life = 'new';
  #apiGone = false;
  #verdict: Verdict | undefined;
  #waiting: Plan['waiting'] = new Map();
  #running = false;
  #again = false;
  #killing: Promise<void> | undefined;

  constructor(node: NodeContext, pod: V1Pod) {
    const { namespace, name, uid = '' } = pod.metadata ?? {};
    this.uid = uid;
    this.#pod = pod;
    this.#firstSeen = node.clock.now();
    const wake = (): void => this.wake();
    const current = (): V1Pod => this.#pod;
    const scope: PodScope = {
      uid,
      node,
      log: node.log.with({ pod: `${namespace}/${name}`, uid }),
      events: new PodEvents(node, current),
      timer: new WakeTimer(node.clock, wake),
      stop: this.#stop.signal,
      pod: current,
      wake,
    };
    this.#scope = scope;
    this.#observer = new PodObserver(scope);
    this.#probers = new PodProbers(scope);
    this.#mounts = new PodMounts(scope);
    this.#tasks = new ContainerTasks(scope, this.#mounts, this.#probers);
    const parts = { observer: this.#observer, probers: this.#probers, tasks: this.#tasks };
    this.#reporter = new PodReporter(scope, parts, this.#firstSeen);
    this.#termination = new PodTermination(scope, this.#observer, this.#tasks);
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
    return this.#reporter.status;
  }

  update(pod: V1Pod): void {
    this.#pod = pod;
    this.#reporter.objectChanged();
    this.#track();
    this.#termination.shortenGrace(this.#apiGone);
    this.wake();
  }

  /** The object is gone from the API (deleted by force, or by our own last act). */
  removed(): void {
    this.#apiGone = true;
    this.#termination.shortenGrace(true);
    this.wake();
  }

  /** Something that the pod refers to changed. */
  referencesChanged(): void {
    this.#mounts.markStale();
    this.#tasks.referencesChanged();
    this.wake();
  }

  imagesChanged(): void {
    if (this.#tasks.imagesChanged()) this.wake();
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
    this.#scope.timer.clear();
    this.#probers.clear();
    this.#scope.node.watches.track(this.uid, '', []);
  }

  #track(): void {
    if (this.#life === 'ended' || this.#life === 'gone') return;
    const { watches } = this.#scope.node;
    watches.track(this.uid, this.#pod.metadata?.namespace ?? '', referencesOf(this.#pod));
  }

  async #passes(): Promise<void> {
    const { log, timer } = this.#scope;
    do {
      this.#again = false;
      try {
        await this.#pass();
        timer.succeeded();
      } catch (error) {
        log.warn('a pass over the pod failed', { error: messageOf(error), code: codeOf(error) });
        timer.retry();
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

  async #observe(): Promise<ObservedPod> {
    const observed = await this.#observer.observe();
    const live = new Set(observed.containers.filter(({ state }) => state === 'running').map(({ id }) => id));
    this.#probers.retain((id) => live.has(id));
    return observed;
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
    const refusal = await this.#scope.node.admit(this.#pod);
    if (refusal === undefined) return;
    this.#verdict = { phase: 'Failed', reason: refusal.reason, message: `Pod was rejected: ${refusal.message}` };
    this.#scope.events.record('Warning', refusal.reason, refusal.message);
  }

  #checkDeadline(): void {
    const { node, timer, events } = this.#scope;
    const seconds = this.#pod.spec?.activeDeadlineSeconds;
    if (seconds === undefined || this.#verdict || this.#life !== 'running') return;
    const due = startTimeOf(this.#pod, this.#firstSeen) + seconds * 1000;
    if (due > node.clock.now()) {
      timer.wakeAt(due);
      return;
    }
    const message = 'Pod was active on the node longer than the specified deadline';
    this.#verdict = { phase: 'Failed', reason: 'DeadlineExceeded', message };
    events.record('Normal', 'DeadlineExceeded', message);
  }

  async #run(observed: ObservedPod): Promise<void> {
    const plan = this.#plan(observed);
    this.#noteBackOffs(plan);
    if (plan.finished) {
      this.#life = 'ending';
      return this.#end();
    }
    for (const stop of plan.stops) this.#tasks.stop(stop.container, stop.message, stop.graceSeconds);
    if (plan.createSandbox) {
      // Volumes that need no address are made meanwhile.
      const [made] = await Promise.all([
        makeSandbox(this.#scope, observed, plan.createSandbox.attempt),
        this.#mounts.ensure([]),
      ]);
      if (!made) return this.#report(observed, plan);
      this.#again = true;
      return;
    }
    const { sandbox } = plan;
    if (sandbox && (await this.#mounts.ensure(sandbox.ips))) this.#tasks.start(plan.starts, sandbox);
    this.#probers.adopt(observed, (container) => this.#tasks.isBusy(container));
    await this.#report(observed, plan);
    await collectDead(this.#scope, observed, this.#observer);
    if (plan.wakeAt !== undefined) this.#scope.timer.wakeAt(plan.wakeAt);
  }

  #plan(observed: ObservedPod): Plan {
    const { clock, restartBackOff } = this.#scope.node;
    return planPod({
      pod: this.#pod,
      observed,
      health: this.#probers.health(),
      busy: this.#tasks.busy(),
      backOffs: this.#tasks.backOffs,
      settings: restartBackOff,
      now: clock.now(),
    });
  }

  #noteBackOffs(plan: Plan): void {
    const { name, namespace } = this.#pod.metadata ?? {};
    for (const [container, { reason }] of plan.waiting) {
      if (reason !== 'CrashLoopBackOff' || this.#waiting.has(container)) continue;
      const message = `Back-off restarting failed container ${container} in pod ${name}_${namespace}(${this.uid})`;
      this.#scope.events.ofContainer(container)('Warning', 'BackOff', message);
    }
    this.#waiting = plan.waiting;
  }

  async #report(observed: ObservedPod, plan: Plan): Promise<void> {
    if (!(await this.#reporter.report(observed, plan, this.#apiGone))) this.#apiGone = true;
  }

  /** Ends the pod: no more starts, everything stopped, status, volumes and network given back. */
  async #end(): Promise<void> {
    const { log, timer } = this.#scope;
    this.#life = 'ending';
    if (this.#killing) return;
    this.#stop.abort();
    this.#probers.halt();
    this.#killing = this.#termination
      .run(this.#apiGone, async (observed) => {
        this.#probers.clear();
        if (!(await this.#reporter.reportEnd(observed, this.#verdict, this.#apiGone))) this.#apiGone = true;
      })
      .then(() => {
        this.#life = 'ended';
      })
      .catch((error: unknown) => {
        log.warn('cannot end the pod', { error: messageOf(error) });
        timer.retry();
      })
      .finally(() => {
        this.#killing = undefined;
        this.wake();
      });
  }

  /** An ended pod keeps its containers (for logs) until its object is deleted. */
  async #finish(): Promise<void> {
    if (!this.#apiGone && this.#pod.metadata?.deletionTimestamp === undefined) return;
    await this.#termination.removeRemains();
    if (!this.#apiGone) this.#apiGone = await this.#termination.deleteObject();
    // Finalizers may keep the object; its deletion event ends the worker.
    if (!this.#apiGone) return;
    this.detach();
    this.#scope.node.gone(this.uid);
  }
}
