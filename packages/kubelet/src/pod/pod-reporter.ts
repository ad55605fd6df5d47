import type { V1Pod, V1PodStatus } from '@wherry/api';
import type { ContainerTasks } from './container-tasks.ts';
import type { ObservedPod } from './labels.ts';
import type { Plan } from './plan.ts';
import type { PodObserver } from './pod-observer.ts';
import type { PodProbers } from './pod-probers.ts';
import { type PodScope, startTimeOf } from './pod-scope.ts';
import { podStatusOf } from './status.ts';
import { writePodStatus } from './status-writer.ts';

/** A pod that just starts is not worth a write of its own unless it takes this long (ms). */
const quietStart = 200;

/** What stands above what the containers say: eviction, deadline, rejection. */
export interface Verdict {
  readonly phase: 'Failed';
  readonly reason: string;
  readonly message: string;
}

/** Makes the status of one pod and writes it where it differs from what the API has. */
export class PodReporter {
  readonly #scope: PodScope;
  readonly #observer: PodObserver;
  readonly #probers: PodProbers;
  readonly #tasks: ContainerTasks;
  readonly #firstSeen: number;
  /** The object as last written, until the watch brings it back. */
  #written: V1Pod | undefined;
  #status: V1PodStatus | undefined;

  constructor(
    scope: PodScope,
    parts: { readonly observer: PodObserver; readonly probers: PodProbers; readonly tasks: ContainerTasks },
    firstSeen: number,
  ) {
    this.#scope = scope;
    this.#observer = parts.observer;
    this.#probers = parts.probers;
    this.#tasks = parts.tasks;
    this.#firstSeen = firstSeen;
  }

  /** The status as last made. */
  get status(): V1PodStatus | undefined {
    return this.#status;
  }

  /** The watch brought a newer object than the one written. */
  objectChanged(): void {
    this.#written = undefined;
  }

  /** Reports a pod that lives. Gives false when its object is gone from the API. */
  report(observed: ObservedPod, plan: Plan, apiGone: boolean): Promise<boolean> {
    const { node, timer } = this.#scope;
    const waiting = new Map([...this.#tasks.failures(), ...plan.waiting]);
    const status = this.#make(observed, waiting, { ending: false, verdict: undefined });
    const starting =
      status.phase === 'Pending' && waiting.size === 0 && this.#scope.pod().status?.startTime === undefined;
    if (starting && node.clock.now() < this.#firstSeen + quietStart) {
      timer.wakeAt(this.#firstSeen + quietStart);
      return Promise.resolve(!apiGone);
    }
    return this.#write(status, apiGone);
  }

  /** Reports a pod whose containers have all ended. Gives false when its object is gone from the API. */
  reportEnd(observed: ObservedPod, verdict: Verdict | undefined, apiGone: boolean): Promise<boolean> {
    const status = this.#make(observed, this.#tasks.failures(), { ending: true, verdict });
    return this.#write(status, apiGone);
  }

  #make(
    observed: ObservedPod,
    waiting: ReadonlyMap<string, { readonly reason: string; readonly message: string }>,
    end: { readonly ending: boolean; readonly verdict: Verdict | undefined },
  ): V1PodStatus {
    const { node } = this.#scope;
    const pod = this.#scope.pod();
    const status = podStatusOf({
      pod: this.#written ?? pod,
      observed,
      health: this.#probers.health(),
      busy: this.#tasks.busy(),
      waiting,
      messages: this.#observer.messages,
      imageNames: this.#observer.imageNames,
      runtimeName: node.runtimeName(),
      now: node.clock.now(),
      startTime: startTimeOf(pod, this.#firstSeen),
      hostIps: node.nodeIps,
      ...end,
    });
    // A pod never comes back from its end, whatever became of its containers.
    const before = pod.status?.phase;
    if (before === 'Succeeded' || before === 'Failed') status.phase = before;
    this.#status = status;
    return status;
  }

  async #write(status: V1PodStatus, apiGone: boolean): Promise<boolean> {
    if (apiGone) return false;
    const written = await writePodStatus(this.#scope.node.client, this.#written ?? this.#scope.pod(), status);
    if (written !== undefined) this.#written = written;
    return written !== undefined;
  }
}
