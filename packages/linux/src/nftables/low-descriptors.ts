import { closeSync, constants, openSync } from 'node:fs';
import { WherryError } from '@wherry/base';

/** select(2) takes descriptors below this number; for others the C library ends the process (FD_SETSIZE). */
const selectable = 1024;
/** More than other threads open while a library opens one. */
const wanted = 8;

/**
 * Low descriptor numbers, kept for libraries that open a descriptor and wait for it by select(2). The kernel gives the
 * lowest number that is free, and a machine with hundreds of containers has none left below 1024.
 */
export class LowDescriptors {
  #kept: number[] = [];

  constructor() {
    this.#keep();
  }

  /** Runs what opens a descriptor, with low numbers free for it. Throws `exhausted` when there are none. */
  lend<T>(work: () => T): T {
    if (this.#kept.length === 0) this.#keep();
    if (this.#kept.length === 0)
      throw new WherryError('exhausted', `too many open files: all descriptors below ${selectable} are taken`);
    for (const descriptor of this.#kept.splice(0)) closeSync(descriptor);
    try {
      return work();
    } finally {
      this.#keep();
    }
  }

  #keep(): void {
    while (this.#kept.length < wanted) {
      const descriptor = openSync('/dev/null', constants.O_RDONLY);
      if (descriptor < selectable) this.#kept.push(descriptor);
      else return closeSync(descriptor);
    }
  }
}
