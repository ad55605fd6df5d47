import type { Descriptor, Digest, Platform } from '@wherry/oci';
import type { WrittenBlob } from '../content/written-blob.ts';

/** An image for one platform: its manifest, and where each blob that is not stored yet is. */
export interface ArchivedPlatform {
  readonly manifest: Buffer;
  readonly blobs: ReadonlyMap<Digest, WrittenBlob>;
}

/** An image found in an archive. */
export interface ArchivedImage extends ArchivedPlatform {
  readonly names: readonly string[];
  /** The index in which it is, for which its names stand. */
  readonly index?: Buffer | undefined;
  /** The images for other platforms that the index has. */
  readonly behind?: readonly ArchivedPlatform[] | undefined;
  /** The image that the archive says it was made from. */
  readonly parent?: Digest | undefined;
}

/** What readers of archives know of the store. */
export interface ArchiveContext {
  /** Images for other platforms are passed over; `undefined`: all are taken. */
  readonly platforms: readonly Platform[] | undefined;
  /** What a name means that has images for several. */
  readonly machine: Platform;
  /** Of one plain layer (bytes). */
  readonly largestLayer: number;
  /** A stored layer by its chain ID, which from now on stays until the archive is read. */
  readonly stored: (chainId: Digest) => Promise<Descriptor | undefined>;
  /** Whether a blob is here, which from now on stays until the archive is read. */
  readonly isStored: (digest: Digest, size: number) => Promise<boolean>;
}
