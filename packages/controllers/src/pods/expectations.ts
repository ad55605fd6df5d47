import type { Clock } from '@wherry/base';

/** Upstream's limit after which an expectation is given up: the local copy is wrong, look again. */
const limit = 300_000;

/**
 * What a controller did and its local copy does not show yet: pods created (by key) and deleted (by
 * key and uid). While something is outstanding the owner's pods are not counted, or the same gap
 * would be filled twice.
 */
export class Expectations {
  readonly #clock: Clock;
  readonly #owners = new Map<string, Map<string, number>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  expect(owner: string, what: string): void {
    let entries = this.#owners.get(owner);
    if (entries === undefined) {
      entries = new Map();
      this.#owners.set(owner, entries);
    }
    entries.set(what, this.#clock.now() + limit);
  }

  /** It was seen, or will never come. */
  settle(owner: string, what: string): void {
    const entries = this.#owners.get(owner);
    entries?.delete(what);
    if (entries?.size === 0) this.#owners.delete(owner);
  }

  satisfied(owner: string): boolean {
    const entries = this.#owners.get(owner);
    if (entries === undefined) return true;
    for (const [what, until] of entries) if (until <= this.#clock.now()) entries.delete(what);
    if (entries.size === 0) this.#owners.delete(owner);
    return entries.size === 0;
  }

  forget(owner: string): void {
    this.#owners.delete(owner);
  }
}

/** The name of an expected creation. */
export const createdPod = (key: string): string => `+${key}`;
/** The name of an expected deletion. */
export const deletedPod = (key: string, uid: string | undefined): string => `-${key}/${uid ?? ''}`;
