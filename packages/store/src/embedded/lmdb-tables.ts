import { statfsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { messageOf, WherryError } from '@wherry/base';
import type { Database, RootDatabase } from 'lmdb';
import type { Change, Entry, KeyRange, TableName, Tables } from '../tables.ts';
import { tableNames } from '../tables.ts';
import { corrupt } from './data-file.ts';

// Loaded when the first store opens: an import would load the native library into every process.
const require = createRequire(import.meta.url);

type Table = Database<Buffer, Buffer>;

/**
 * Tables in one LMDB environment. Commits run on LMDB's own thread, with fdatasync before the meta
 * page is written (`overlappingSync` off: measured on the target machine it gave 1.9k sequential
 * 1 KiB commits a second against 2.2k, and 38k against 39k with 64 writers, and would need a second
 * wait for durability).
 */
export class LmdbTables implements Tables {
  readonly #path: string;
  readonly #root: RootDatabase<Buffer, Buffer>;
  readonly #tables: ReadonlyMap<TableName, Table>;

  private constructor(path: string, root: RootDatabase<Buffer, Buffer>, tables: ReadonlyMap<TableName, Table>) {
    this.#path = path;
    this.#root = root;
    this.#tables = tables;
  }

  /** Opens or creates the data file `path`. Throws `corrupt`. */
  static async open(path: string): Promise<LmdbTables> {
    const { open } = require('lmdb') as typeof import('lmdb');
    const encoding = { encoding: 'binary', keyEncoding: 'binary' } as const;
    let root: RootDatabase<Buffer, Buffer> | undefined;
    try {
      const opened = open<Buffer, Buffer>({
        path,
        noSubdir: true,
        maxDbs: tableNames.length,
        overlappingSync: false,
        // A group is a batch of its own; LMDB's batches by turn hold a promise whose rejection nobody can catch.
        eventTurnBatching: false,
        cache: false,
        ...encoding,
      });
      root = opened;
      return new LmdbTables(
        path,
        opened,
        new Map(tableNames.map((name) => [name, opened.openDB<Buffer, Buffer>({ name, ...encoding })])),
      );
    } catch (error) {
      await root?.close();
      throw failure(path, error);
    }
  }

  get(table: TableName, key: Buffer): Buffer | undefined {
    return this.#checked(() => this.#tables.get(table)!.get(key));
  }

  *range(table: TableName, { start, end, reverse = false }: KeyRange): Iterable<Entry> {
    // LMDB's reverse ranges begin at the upper end, inclusive; ours excludes it.
    const from = reverse ? end : start;
    const to = reverse ? start : end;
    const options = { reverse, ...(from && { start: from }), ...(to && { end: to, inclusiveEnd: reverse }) };
    const entries = this.#checked(() => this.#tables.get(table)!.getRange(options)[Symbol.iterator]());
    try {
      for (;;) {
        const next = this.#checked(() => entries.next());
        if (next.done) return;
        const { key, value } = next.value;
        if (reverse && end?.equals(key)) continue;
        yield { key, value };
      }
    } finally {
      entries.return?.();
    }
  }

  count(table: TableName, { start, end }: KeyRange): number {
    const options = { ...(start && { start }), ...(end && { end }) };
    return this.#checked(() => this.#tables.get(table)!.getKeysCount(options));
  }

  async commit(changes: readonly Change[]): Promise<void> {
    const parts: Promise<unknown>[] = [];
    const whole = this.#root.batch(() => {
      for (const { table, key, value } of changes) {
        const target = this.#tables.get(table)!;
        parts.push(value === undefined ? target.remove(key) : target.put(key, value));
      }
    });
    const causes: Promise<unknown>[] = [];
    const watch = (part: Promise<unknown>): Promise<unknown> =>
      part.catch((error: unknown) => {
        // The cause is a promise of its own; left alone, its rejection would end the process.
        const cause = (error as { commitError?: Promise<unknown> }).commitError;
        if (cause) causes.push(cause.catch((reason: unknown) => reason));
        throw error;
      });
    const results = await Promise.allSettled([whole, ...parts].map(watch));
    this.#root.resetReadTxn();
    const failed = results.find((result) => result.status === 'rejected');
    if (failed) throw failure(this.#path, (await causes[0]) ?? failed.reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#root.close();
  }

  #checked<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw failure(this.#path, error);
    }
  }
}

function failure(path: string, error: unknown): unknown {
  if (error instanceof WherryError) return error;
  const text = messageOf(error);
  if (/No space left|Disk quota|MDB_MAP_FULL|File too large/i.test(text) || (isIoError(error) && isFull(path))) {
    return new WherryError('exhausted', `the disk of the store ${path} is full`, { cause: error });
  }
  if (/MDB_(CORRUPTED|INVALID|PAGE_NOTFOUND|VERSION_MISMATCH|PANIC|BAD_TXN)|Internal page|not an LMDB/i.test(text)) {
    return corrupt(path, text, error);
  }
  return new WherryError('internal', `the store ${path} failed: ${text}`, { cause: error });
}

function isIoError(error: unknown): boolean {
  return (error as { code?: unknown } | null)?.code === constants.errno.EIO;
}

/** LMDB reports a write that the disk took only in part as EIO, not as ENOSPC. */
function isFull(path: string): boolean {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize < 1024 * 1024;
}
