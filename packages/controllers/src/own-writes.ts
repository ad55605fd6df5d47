import type { KubeObject } from '@wherry/client';

/** Tells whether the local copy of an object is older than what this controller wrote itself (versions compare, KEP-5504). */
export class OwnWrites {
  readonly #versions = new Map<string, bigint>();

  note(key: string, written: KubeObject): void {
    this.#versions.set(key, versionOf(written));
  }

  isStale(key: string, seen: KubeObject): boolean {
    const written = this.#versions.get(key);
    if (written === undefined) return false;
    if (versionOf(seen) < written) return true;
    this.#versions.delete(key);
    return false;
  }

  forget(key: string): void {
    this.#versions.delete(key);
  }
}

function versionOf({ metadata }: KubeObject): bigint {
  const text = metadata?.resourceVersion ?? '';
  return /^\d+$/.test(text) ? BigInt(text) : 0n;
}
