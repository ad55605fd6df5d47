import type { Digest } from '@wherry/oci';
import type { EarlyUnpack } from '../layers/early-unpack.ts';

/** A blob that is written and does not stand under its digest yet. Dispose it, or what it is of. */
export interface WrittenBlob extends AsyncDisposable {
  readonly size: number;
  /** A layer that was unpacked while it came. */
  readonly early?: EarlyUnpack | undefined;
  /** The sha256 digest. */
  digest(): Promise<Digest>;
  /** All of it, when it is small. Throws `tooLarge`. */
  read(limit: number): Promise<Buffer>;
  /** The first bytes, by which formats are told apart. */
  start(): Promise<Buffer>;
  stream(): AsyncIterable<Buffer>;
  /**
   * Makes the blob stand under its digest, with `expected` only when it is that one (else `corrupt`). Idempotent. Not synced
   * where `sync` is false: the disk's next sync is waited for before something relies on it for good, and until then it is
   * known as doubtful (`UnsettledImages`).
   */
  commit(
    expected?: Digest,
    options?: { readonly sync?: boolean },
  ): Promise<{ readonly digest: Digest; readonly size: number }>;
}
