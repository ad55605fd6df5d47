import { messageOf } from '@wherry/base';
import type { DownwardFacts, MountedVolumes } from '@wherry/volumes';
import type { PodScope } from './pod-scope.ts';

/** Upstream's back-off between two tries to mount (ms). */
const firstDelay = 500;
const longestDelay = 122_000;

/** The volumes of one pod: mounted before its first container, refreshed when their sources change or run out. */
export class PodMounts {
  readonly #scope: PodScope;
  #mounted: MountedVolumes | undefined;
  #stale = false;
  /** After a failure: wakes for other reasons before this time (ms) do not try again. */
  #notBefore = 0;
  #delay = firstDelay;

  constructor(scope: PodScope) {
    this.#scope = scope;
  }

  get mounted(): MountedVolumes | undefined {
    return this.#mounted;
  }

  /** An object that a volume shows changed. */
  markStale(): void {
    this.#stale = true;
  }

  /** What containers and volumes are told about the pod's surroundings. */
  facts(podIps: readonly string[]): DownwardFacts {
    const { node, pod } = this.#scope;
    const own = pod().spec?.hostNetwork === true ? node.nodeIps : podIps;
    return { allocatable: node.allocatable(), hostIps: node.nodeIps, podIps: own };
  }

  /** Mounts or refreshes as needed; false (with an Event and another try later) when containers cannot start yet. */
  async ensure(podIps: readonly string[]): Promise<boolean> {
    const { node, pod, timer, events } = this.#scope;
    const due = this.#mounted?.refreshAt !== undefined && this.#mounted.refreshAt <= node.clock.now();
    if (this.#mounted && !this.#stale && !due) return true;
    if (!this.#stale && node.clock.now() < this.#notBefore) {
      timer.wakeAt(this.#notBefore);
      return this.#mounted !== undefined;
    }
    this.#stale = false;
    try {
      const facts = this.facts(podIps);
      if (this.#mounted) {
        const { refreshAt } = await node.volumes.refresh(pod(), facts);
        this.#mounted = { volumes: this.#mounted.volumes, refreshAt };
      } else this.#mounted = await node.volumes.mount(pod(), facts);
      this.#delay = firstDelay;
      if (this.#mounted.refreshAt !== undefined) timer.wakeAt(this.#mounted.refreshAt);
      return true;
    } catch (error) {
      events.record('Warning', 'FailedMount', messageOf(error));
      // A missing object is watched; anything else is tried again.
      this.#notBefore = node.clock.now() + this.#delay;
      this.#delay = Math.min(this.#delay * 2, longestDelay);
      timer.wakeAt(this.#notBefore);
      return this.#mounted !== undefined;
    }
  }
}
