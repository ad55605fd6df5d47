import { closeSync, constants, openSync } from 'node:fs';
import { WherryError } from '@wherry/base';
import { selectable } from '../processes/descriptors.ts';

/** Kept in all, and of them lent at a time: more than other threads open while a library opens one. */
const wanted = 64;
const lent = 8;

/**
 * Low descriptor numbers, kept for libraries that open a descriptor and wait for it by select(2). The kernel gives the
 * lowest number that is free, and a machine with hundreds of containers has none left below 1024. Now and then another
 * thread takes one that is lent; it is taken back when that is closed.
 */
class LowDescriptors {
  readonly #kept: number[] = [];

  constructor() {
    this.keep();
  }

  /** Runs what opens a descriptor, with low numbers free for it. Throws `exhausted` when there are none. */
  lend<T>(work: () => T): T {
    this.keep();
    if (this.#kept.length < 2)
      throw new WherryError('exhausted', `too many open files: all descriptors below ${selectable} are taken`);
    for (const descriptor of this.#kept.splice(-lent)) closeSync(descriptor);
    try {
      return work();
    } finally {
      this.keep();
      if (this.#kept.length < wanted) setImmediate(() => this.keep());
    }
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
