import type { V1Pod } from '@wherry/api';
import { type Logger, messageOf } from '@wherry/base';
import type { RuntimeService } from '@wherry/runtime';
import { cpuShares, podSums, qosClassOf } from './resources.ts';

export interface QosGroupsOptions {
  readonly runtime: Pick<RuntimeService, 'updateCgroup'>;
  /** As of `podCgroup`. */
  readonly cgroupRoot: string;
  /** The node's pods that run or start. */
  readonly pods: () => readonly V1Pod[];
  readonly log: Logger;
}

/**
 * The processor shares of the cgroups above those of pods: best-effort pods together weigh next to
 * nothing, burstable ones as much as they ask for together (upstream's QoS container manager).
 * Without it the two groups would share evenly with each guaranteed pod.
 */
export class QosGroups {
  readonly #options: QosGroupsOptions;
  readonly #set = new Map<string, number>();
  #planned = false;

  constructor(options: QosGroupsOptions) {
    this.#options = options;
  }

  /** Pods came, ended or went: sets what differs, once for all changes of a turn. */
  podsChanged(): void {
    if (this.#planned) return;
    this.#planned = true;
    queueMicrotask(() => {
      this.#planned = false;
      const burstable = this.#options.pods().filter((pod) => qosClassOf(pod) === 'Burstable');
      const asked = burstable.reduce((sum, pod) => sum + podSums(pod).cpuRequest, 0);
      void this.#setShares('besteffort', cpuShares(0));
      void this.#setShares('burstable', cpuShares(asked));
    });
  }

  async #setShares(group: string, shares: number): Promise<void> {
    if (this.#set.get(group) === shares) return;
    this.#set.set(group, shares);
    try {
      await this.#options.runtime.updateCgroup(`${this.#options.cgroupRoot}/${group}`, { cpuShares: shares });
    } catch (error) {
      // The next change tries again.
      this.#set.delete(group);
      this.#options.log.warn('cannot set the shares of a class of pods', { group, error: messageOf(error) });
    }
  }
}
