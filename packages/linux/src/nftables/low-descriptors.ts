import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { errnoOf, WherryError } from '@wherry/base';
import { selectable } from '../processes/descriptors.ts';

/** Kept in all, and of them lent at a time: more than other threads mostly open while a library opens one. */
const wanted = 64;
const lentAtOnce = 8;

/**
 * Low descriptor numbers, kept for libraries that open a descriptor and wait for it by select(2). The kernel gives the
 * lowest number that is free, and a machine with hundreds of containers has none left below 1024. Other threads may take
 * what is lent; it is taken back when that is closed.
 */
class LowDescriptors {
  readonly #kept: number[] = [];

  constructor() {
    this.keep();
  }

  /** Runs what opens a descriptor, with low numbers free for it. Throws `exhausted` when there are none. */
  lend<T>(work: () => T): T {
    this.#giveAway();
    try {
      return work();
    } finally {
      this.#takeBack();
    }
  }

  /**
   * Runs what opens a descriptor and goes on to use it: that has a low number for sure. Where other threads took all that
   * were lent it may have another one, and is closed and opened again. Throws `exhausted` when there are none.
   */
  open<T>(open: () => T, close: (opened: T) => void): T {
    for (;;) {
      const lent = this.#giveAway();
      try {
        const opened = open();
        // The kernel gave the lowest: it is below one that is free still.
        if (lent.some(isFree)) return opened;
        close(opened);
      } finally {
        this.#takeBack();
      }
    }
  }

  #giveAway(): readonly number[] {
    this.keep();
    if (this.#kept.length < 2)
      throw new WherryError('exhausted', `too many open files: all descriptors below ${selectable} are taken`);
    const lent = this.#kept.splice(-lentAtOnce);
    for (const descriptor of lent) closeSync(descriptor);
    return lent.reverse();
  }

  #takeBack(): void {
    this.keep();
    if (this.#kept.length < wanted) setImmediate(() => this.keep());
  }

  /** Takes what there is of low numbers, also of those that were lent and are closed now. */
  keep(): void {
    while (this.#kept.length < wanted) {
      const descriptor = openSync('/dev/null', constants.O_RDONLY);
      if (descriptor >= selectable) {
        closeSync(descriptor);
        return;
      }
      this.#kept.push(descriptor);
    }
  }
}

function isFree(descriptor: number): boolean {
  try {
    fstatSync(descriptor);
    return false;
  } catch (error) {
    return errnoOf(error) === 'EBADF';
  }
}

let kept: LowDescriptors | undefined;

/** Those of this process. */
export function lowDescriptors(): LowDescriptors {
  kept ??= new LowDescriptors();
  return kept;
}

/** Sets low descriptor numbers aside for libnftables: before a process opens hundreds of files. Idempotent. */
export function keepLowDescriptors(): void {
  lowDescriptors().keep();
}
