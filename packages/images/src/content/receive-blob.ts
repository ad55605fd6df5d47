import { createHash, type Hash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import type { TaskContext } from '@wherry/base';
import { patientReceiver, waitForMany } from '@wherry/linux';
import type { Digest } from '@wherry/oci';
import { namingFullDisk } from './full-disk.ts';
import { writeAll } from './write-all.ts';

const batch = 512 * 1024;
/** Bytes that are worth waking a thread. */
const many = 256 * 1024;

export interface ReceiveRequest {
  /** Descriptor of the connection, which stays open; `endReceiving` wakes the thread. */
  readonly connection: number;
  /** Where the bytes go, behind the first `from` of it. */
  readonly path: string;
  readonly from: number;
  /** How many are to come. */
  readonly length: number;
  /** Milliseconds that the connection may be silent. */
  readonly patience: number;
}

export interface Received {
  /** Of the file up to where it was written, by sha256. */
  readonly digest: Digest;
  /** Why it ended before its end, as Go words it. */
  readonly broken?: 'unexpected EOF' | 'i/o timeout';
}

/** Bytes that the file has by now. */
export interface ReceiveProgress {
  readonly size: number;
}

/**
 * Writes what comes over a connection to a file and hashes it, in the same memory all the time: for a thread. Throws
 * `exhausted` on a full disk, `cancelled`. What was told of as progress is in the file.
 */
export function receiveBlob(
  { connection, path, from, length, patience }: ReceiveRequest,
  { throwIfCancelled, report }: TaskContext<ReceiveProgress>,
): Received {
  const buffer = Buffer.allocUnsafe(Math.min(batch, length));
  const hash = createHash('sha256');
  const file = openSync(path, 'r+');
  try {
    hashStart(file, from, hash, buffer);
    const end = from + length;
    const next = patientReceiver(connection, { milliseconds: patience, throwIfCancelled });
    for (let at = from; at < end; ) {
      waitForMany(connection, Math.min(many, end - at));
      const count = next(buffer.subarray(0, Math.min(buffer.length, end - at)));
      if (count === 0) return { digest: digestOf(hash), broken: 'unexpected EOF' };
      if (count === undefined) return { digest: digestOf(hash), broken: 'i/o timeout' };
      const piece = buffer.subarray(0, count);
      at += writeAll(file, piece, at);
      hash.update(piece);
      report({ size: at });
    }
    return { digest: digestOf(hash) };
  } catch (error) {
    throw namingFullDisk(error);
  } finally {
    closeSync(file);
  }
}

function hashStart(file: number, length: number, hash: Hash, buffer: Buffer): void {
  for (let at = 0; at < length; ) {
    const count = readSync(file, buffer, 0, Math.min(buffer.length, length - at), at);
    if (count === 0) throw new Error(`the file of a blob is shorter than ${length} bytes`);
    hash.update(buffer.subarray(0, count));
    at += count;
  }
}

function digestOf(hash: Hash): Digest {
  return `sha256:${hash.digest('hex')}`;
}
