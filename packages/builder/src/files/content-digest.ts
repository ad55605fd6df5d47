import { createHash, webcrypto } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, read as readCallback, readSync } from 'node:fs';
import { promisify } from 'node:util';
import { Breather, bytesOfName, Semaphore, WherryError } from '@wherry/base';
import { openBeneath } from '@wherry/linux';
import type { SourceEntry, SourceTree } from './source-tree.ts';

const read = promisify(readCallback);
/** Files below this are read at once: that takes less than to ask a thread. */
const smallFile = 32 * 1024;
const pieceSize = 4 * 1024 * 1024;
const pathOnly = 0o10000000;

/** Reads at the same time; each piece is hashed by a thread of Node's pool. */
const readers = new Semaphore(4);

/** A checksum of one entry: what and whose it is, and its content; not its time. */
export type Checksums = ReadonlyMap<SourceEntry, string>;

/** Checksums of entries, many at a time. Large files are read in pieces and hashed off the event loop. */
export async function checksumsOf(
  tree: SourceTree,
  entries: readonly SourceEntry[],
  signal?: AbortSignal,
): Promise<Checksums> {
  const breather = new Breather(signal);
  const sums = new Map<SourceEntry, string>();
  const waiting: Promise<void>[] = [];
  for (const entry of entries) {
    if (entry.type === 'file' && entry.size > smallFile) {
      sums.set(entry, '');
      const work = readers.run(async () => {
        signal?.throwIfAborted();
        sums.set(entry, checksum(entry, await largeDigest(tree, entry)));
      });
      waiting.push(work);
      work.catch(() => undefined);
    } else sums.set(entry, checksum(entry, entry.type === 'file' ? smallDigest(tree, entry) : ''));
    await breather.rest();
  }
  await Promise.all(waiting);
  return sums;
}

/** One checksum of many things. */
export function combine(parts: readonly string[]): string {
  return createHash('sha256')
    .update(bytesOfName(parts.join('\n')))
    .digest('hex');
}

function checksum(entry: SourceEntry, content: string): string {
  const { type, mode, uid, gid, size, linkName, device } = entry;
  return combine([type, `${mode}`, `${uid}`, `${gid}`, `${size}`, JSON.stringify(linkName), `${device}`, content]);
}

/** Opens a file of a tree that may change: no link, race or device leads anywhere else. The caller closes it. */
export function openEntry(tree: SourceTree, path: string): number {
  const found = openBeneath(tree.root, path, { flags: pathOnly | constants.O_NOFOLLOW, escape: 'refuse' });
  try {
    if (!fstatSync(found).isFile()) throw new WherryError('conflict', `${path} changed while it was read`);
    return openSync(`/proc/self/fd/${found}`, constants.O_RDONLY);
  } finally {
    closeSync(found);
  }
}

function smallDigest(tree: SourceTree, entry: SourceEntry): string {
  const file = openEntry(tree, entry.path);
  try {
    const content = Buffer.allocUnsafe(entry.size);
    let length = 0;
    while (length < content.length) {
      const count = readSync(file, content, length, content.length - length, null);
      if (count === 0) break;
      length += count;
    }
    return createHash('sha256').update(content.subarray(0, length)).digest('hex');
  } finally {
    closeSync(file);
  }
}

/** The hash of the hashes of its pieces, where there is more than one. */
async function largeDigest(tree: SourceTree, entry: SourceEntry): Promise<string> {
  const file = openEntry(tree, entry.path);
  try {
    const pieces: string[] = [];
    const buffer = Buffer.allocUnsafeSlow(Math.min(pieceSize, entry.size));
    for (;;) {
      let length = 0;
      while (length < buffer.length) {
        const { bytesRead } = await read(file, buffer, length, buffer.length - length, null);
        if (bytesRead === 0) break;
        length += bytesRead;
      }
      if (length === 0) break;
      const digest = await webcrypto.subtle.digest('SHA-256', buffer.subarray(0, length));
      pieces.push(Buffer.from(digest).toString('hex'));
      if (length < buffer.length) break;
    }
    return pieces.length === 1 ? pieces[0]! : combine(pieces);
  } finally {
    closeSync(file);
  }
}
