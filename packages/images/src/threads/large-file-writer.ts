import { createHash } from 'node:crypto';
import { closeSync, linkSync, openSync, readSync, rmSync } from 'node:fs';
import { errnoOf, WherryError } from '@wherry/base';
import type { Digest } from '@wherry/oci';
import { detectCompression } from '../content/compression.ts';
import { namingFullDisk } from '../content/full-disk.ts';
import { GrowingFile } from '../content/growing-file.ts';
import { writeAll } from '../content/write-all.ts';
import type { ArrivalProgress, LargeFile, StoredBlob } from './arrival-task.ts';

/** Whoever reads while it is written is told of so many bytes at a time. */
const growth = 512 * 1024;
/** A layer that is smaller is unpacked when all of the archive is here. */
const smallLayer = 1024 * 1024;

export interface LargeFileTarget {
  readonly number: number;
  /** There is nothing. */
  readonly path: string;
  /** Where it is known before. */
  readonly size: number | undefined;
  /** Blobs of its size that are here. */
  readonly twins: readonly StoredBlob[];
  /** Whether it is likely not needed: then it is not hashed, and nobody told of it. */
  readonly isLikelyHere: boolean;
}

/**
 * Writes a file and hashes it meanwhile. As long as what comes is what a blob has that is here, nothing is written, and that
 * blob gets another name, under which it stays whatever becomes of its first one.
 */
export class LargeFileWriter implements Disposable {
  readonly #target: LargeFileTarget;
  readonly #report: (progress: ArrivalProgress) => void;
  readonly #hash: ReturnType<typeof createHash> | undefined;
  #file: number | undefined;
  #twin: Twin | undefined;
  #growing: GrowingFile | undefined;
  #size = 0;
  #told = 0;

  constructor(target: LargeFileTarget, report: (progress: ArrivalProgress) => void) {
    this.#target = target;
    this.#report = report;
    this.#hash = target.isLikelyHere ? undefined : createHash('sha256');
  }

  get size(): number {
    return this.#size;
  }

  write(piece: Buffer): void {
    if (this.#size === 0) {
      this.#twin = Twin.find(this.#target, piece);
      if (this.#twin === undefined) this.#tell(piece);
    }
    if (this.#twin?.has(piece, this.#size)) {
      this.#size += piece.length;
      return;
    }
    if (this.#twin !== undefined) this.#part(this.#twin);
    this.#append(piece);
  }

  end(): LargeFile {
    const { number, path } = this.#target;
    if (this.#twin !== undefined) return { number, path, digest: this.#twin.digest };
    this.#open();
    this.#growing?.grow(this.#size);
    this.#growing?.end();
    const digest: Digest | undefined = this.#hash && `sha256:${this.#hash.digest('hex')}`;
    if (this.#growing !== undefined) this.#report({ whole: number });
    this.#growing = undefined;
    return { number, path, digest };
  }

  [Symbol.dispose](): void {
    this.#growing?.fail(new WherryError('cancelled', 'the file is not written to its end'));
    this.#twin?.[Symbol.dispose]();
    if (this.#file !== undefined) closeSync(this.#file);
  }

  /** What seems to be a layer is told of before it is there. */
  #tell(start: Buffer): void {
    const { number, path, size, isLikelyHere } = this.#target;
    const compression = detectCompression(start);
    const isPlain = compression === 'none';
    const isLayer = isPlain
      ? start.toString('latin1', 257, 262) === 'ustar'
      : compression === 'gzip' || compression === 'zstd';
    if (isLikelyHere || !isLayer || (size !== undefined && size < smallLayer)) return;
    this.#growing = new GrowingFile(path);
    this.#report({ begun: number, growing: this.#growing.handle, isPlain });
  }

  /** It is another blob after all: what came so far is taken from the one that it was like. */
  #part(twin: Twin): void {
    rmSync(this.#target.path);
    const length = this.#size;
    this.#size = 0;
    this.#twin = undefined;
    for (const piece of twin.pieces(length)) this.#append(piece);
    twin[Symbol.dispose]();
  }

  #append(piece: Buffer): void {
    const file = this.#open();
    try {
      this.#size += writeAll(file, piece, this.#size);
    } catch (error) {
      throw namingFullDisk(error);
    }
    this.#hash?.update(piece);
    if (this.#growing === undefined || this.#size - this.#told < growth) return;
    this.#growing.grow(this.#size);
    this.#told = this.#size;
  }

  #open(): number {
    this.#file ??= openSync(this.#target.path, 'wx', 0o600);
    return this.#file;
  }
}

/** A stored blob that is what comes, so far. */
class Twin implements Disposable {
  readonly digest: Digest;
  readonly #file: number;
  readonly #buffer = Buffer.allocUnsafe(growth);

  private constructor(digest: Digest, file: number) {
    this.digest = digest;
    this.#file = file;
  }

  /** One of those with this start; it gets the target's name beside its own. */
  static find({ twins, path }: LargeFileTarget, start: Buffer): Twin | undefined {
    for (const twin of twins) {
      try {
        linkSync(twin.path, path);
      } catch (error) {
        // Removed meanwhile; or the file system has no links, or no more of them.
        if (errnoOf(error) === undefined) throw error;
        continue;
      }
      const found = new Twin(twin.digest, openSync(path, 'r'));
      if (found.has(start, 0)) return found;
      found[Symbol.dispose]();
      rmSync(path);
    }
    return undefined;
  }

  has(piece: Buffer, position: number): boolean {
    for (let done = 0; done < piece.length; ) {
      const wanted = Math.min(piece.length - done, growth);
      const there = readSync(this.#file, this.#buffer, 0, wanted, position + done);
      if (there === 0 || piece.compare(this.#buffer, 0, there, done, done + there) !== 0) return false;
      done += there;
    }
    return true;
  }

  *pieces(length: number): Generator<Buffer> {
    for (let at = 0; at < length; ) {
      const there = readSync(this.#file, this.#buffer, 0, Math.min(growth, length - at), at);
      if (there === 0) throw new WherryError('internal', 'a stored blob became shorter');
      at += there;
      yield this.#buffer.subarray(0, there);
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }
}
