import type { Digest } from '@wherry/oci';
import type { BodyFraming } from '../content/connection-body.ts';
import type { GrowingFileHandle } from '../content/growing-file.ts';

/** Of headers, and of what stands behind an archive's end (bytes). */
export const mostAround = 256 * 1024 * 1024;

/** What the thread that receives an archive, or one layer, needs. */
export interface ArrivalRequest {
  /** `layer`: all of the stream, decompressed, is one file, whose name is empty. */
  readonly kind: 'archive' | 'layer';
  /** A file, or the body of a request; `undefined`: it comes as the task's input. */
  readonly from: string | BodyConnection | undefined;
  /** Where files go: empty. */
  readonly folder: string;
  /** Of files together (bytes). */
  readonly largest: number;
  readonly known: KnownBlobs;
}

/** As `TakenBody`. */
export interface BodyConnection {
  /** `endReceiving` wakes the thread. */
  readonly descriptor: number;
  readonly read: Uint8Array;
  readonly framing: BodyFraming;
}

/** What is here already. */
export interface KnownBlobs {
  /** By its size: a file of an archive that is one of these is not written again. */
  readonly stored: ReadonlyMap<number, readonly StoredBlob[]>;
  /** The hexadecimal parts of digests by which archives name layers that are here, in this form or another. */
  readonly names: ReadonlySet<string>;
}

export interface StoredBlob {
  readonly digest: Digest;
  readonly path: string;
}

/** A member of an archive. */
export interface ArrivedMember {
  readonly name: string;
  readonly type: 'file' | 'link' | 'symlink' | 'directory';
  readonly linkName: string;
  readonly size: number;
  /** Of a small file. */
  readonly content?: Uint8Array | undefined;
  /** Of a large one. */
  readonly file?: LargeFile | undefined;
}

export interface LargeFile {
  readonly number: number;
  readonly path: string;
  /** sha256; `undefined` where it is likely not needed. */
  readonly digest: Digest | undefined;
}

/** A layer, as it seems, that is being written, or is whole now. */
export type ArrivalProgress =
  | { readonly begun: number; readonly growing: GrowingFileHandle; readonly isPlain: boolean }
  | { readonly whole: number };
