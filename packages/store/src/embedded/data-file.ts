import { closeSync, fstatSync, ftruncateSync, openSync, readSync } from 'node:fs';
import { errnoOf, WherryError } from '@wherry/base';

/**
 * The facts of LMDB's two meta pages (format 2, 64-bit, as lmdb 3.5 writes them): a header of 24
 * bytes, then magic u32, version u32, address u64, map size u64, two database records of 48 bytes
 * (the first begins with the page size), last page u64, transaction id u64.
 */
const magic = 0xbeefc0de;
const at = { magic: 24, version: 28, pageSize: 48, lastPage: 144, transaction: 152, end: 160 };
const pageSizes = new Set([4096, 8192, 16384, 32768, 65536]);

/** How long the file is, and how long its newest state says that it is. */
export interface DataFileSize {
  readonly size: number;
  readonly needed: number;
}

/**
 * Looks at a data file before LMDB maps it: LMDB would read a truncated file beyond its end, which
 * kills the process with SIGBUS. Gives `undefined` when there is no file; throws `corrupt`.
 */
export function inspectDataFile(path: string): DataFileSize | undefined {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { size } = fstatSync(file);
    if (size === 0) return undefined;
    const first = readMeta(file, 0);
    const second = first && readMeta(file, first.pageSize);
    if (!first || !second) throw corrupt(path, 'it is not a database of this version');
    const newest = second.transaction > first.transaction ? second : first;
    return { size, needed: (newest.lastPage + 1) * first.pageSize };
  } finally {
    closeSync(file);
  }
}

/** Sets the length of a file; what is added reads as zeros. */
export function resizeFile(path: string, size: number): void {
  const file = openSync(path, 'r+');
  try {
    ftruncateSync(file, size);
  } finally {
    closeSync(file);
  }
}

export function corrupt(path: string, why: string, cause?: unknown): WherryError {
  return new WherryError('corrupt', `the store ${path} is damaged: ${why}; restore it from a backup or move it away`, {
    cause,
    details: { path },
  });
}

function readMeta(
  file: number,
  offset: number,
): { pageSize: number; lastPage: number; transaction: bigint } | undefined {
  const page = Buffer.alloc(at.end);
  if (readSync(file, page, 0, at.end, offset) < at.end) return undefined;
  const pageSize = page.readUInt32LE(at.pageSize);
  if (page.readUInt32LE(at.magic) !== magic || page.readUInt32LE(at.version) !== 2) return undefined;
  if (!pageSizes.has(pageSize)) return undefined;
  const lastPage = Number(page.readBigUInt64LE(at.lastPage));
  return { pageSize, lastPage, transaction: page.readBigUInt64LE(at.transaction) };
}
