import { Mutex } from '@wherry/base';
import type { Digest } from '@wherry/oci';

/**
 * Content that running operations use and that collection must leave alone. Pinning waits while a
 * collection is under way: what is found afterwards stays.
 */
export class Pins {
  readonly #counts = new Map<Digest, number>();
  readonly #mutex = new Mutex();
  /** Pinned content that nothing else needed when a collection looked at it, or when it was made. */
  readonly #passedOver = new Set<Digest>();
  /** Told of such content once its last pin is gone. */
  onUnpinned: (digests: readonly Digest[]) => void = () => undefined;

  /** `isNew`: nothing needs it yet, so that it goes with the last pin unless something does by then. */
  async pin(digests: Iterable<Digest>, { isNew = false }: { isNew?: boolean } = {}): Promise<Disposable> {
    const pinned = [...digests];
    await this.#mutex.run(async () => {
      for (const digest of pinned) this.#counts.set(digest, (this.#counts.get(digest) ?? 0) + 1);
    });
    for (const digest of isNew ? pinned : []) this.#passedOver.add(digest);
    return { [Symbol.dispose]: () => this.#unpin(pinned.splice(0)) };
  }

  /** Runs a collection: nothing is pinned meanwhile. What it asks for has no other use. */
  async collect<T>(work: (isPinned: (digest: Digest) => boolean) => Promise<T>): Promise<T> {
    return await this.#mutex.run(() =>
      work((digest) => {
        if (!this.#counts.has(digest)) return false;
        this.#passedOver.add(digest);
        return true;
      }),
    );
  }

  #unpin(digests: readonly Digest[]): void {
    const free: Digest[] = [];
    for (const digest of digests) {
      const left = this.#counts.get(digest)! - 1;
      if (left > 0) this.#counts.set(digest, left);
      else {
        this.#counts.delete(digest);
        if (this.#passedOver.delete(digest)) free.push(digest);
      }
    }
    if (free.length > 0) this.onUnpinned(free);
  }
}
