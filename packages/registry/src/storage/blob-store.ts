import type { FileHandle } from 'node:fs/promises';
import type { Digest } from '@wherry/oci';

/**
 * Content by digest, whoever it belongs to. Which repository sees what, and what nobody needs any more,
 * is the registry's to say. `blobStoreContract` states what an implementation must do.
 */
export interface BlobStore {
  /** Bytes; `undefined` when it is not here. */
  size(digest: Digest): Promise<number | undefined>;
  /** Opened for reading: the content stays readable until the handle is closed, also when it is removed meanwhile. */
  open(digest: Digest): Promise<FileHandle | undefined>;
  /**
   * Takes a file of the registry's own folder over as this content: verified and synced by the caller. Once
   * it resolves, the content survives a power cut and the file is gone. Content that is here already stays.
   */
  adopt(file: string, digest: Digest): Promise<void>;
  /** Gives up what `adopt` took. Nothing when it is not here. */
  remove(digest: Digest): Promise<void>;
  /** All that `adopt` took and `remove` did not give up, in any order. */
  list(): AsyncIterable<Digest>;
}
