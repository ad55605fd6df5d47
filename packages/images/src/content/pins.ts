import { Mutex } from '@wherry/base';
import type { Digest } from '@wherry/oci';

/**
 * Content that running operations use and that collection must leave alone. Pinning waits while a
 * collection is under way: what is found afterwards stays.
 */
export class Pins {
  readonly #counts = new Map<Digest, number>();
  readonly #mutex = new Mutex();

  async pin(digests: Iterable<Digest>): Promise<Disposable> {
    const pinned = [...digests];
    await this.#mutex.run(async () => {
      for (const digest of pinned) this.#counts.set(digest, (this.#counts.get(digest) ?? 0) + 1);
    });
    return {
      [Symbol.dispose]: () => {
        for (const digest of pinned.splice(0)) {
          const left = this.#counts.get(digest)! - 1;
          if (left === 0) this.#counts.delete(digest);
          else this.#counts.set(digest, left);
        }
      },
    };
  }

  /** Runs a collection: nothing is pinned meanwhile. */
  async collect<T>(work: (isPinned: (digest: Digest) => boolean) => Promise<T>): Promise<T> {
    return await this.#mutex.run(() => work((digest) => this.#counts.has(digest)));
  }
}
