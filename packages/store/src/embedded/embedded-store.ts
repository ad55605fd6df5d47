import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Logger, WherryError } from '@wherry/base';
import { type MvccOptions, MvccStore } from '../mvcc-store.ts';
import { decodeCurrent, decodeRevision, decodeVersion, encodeRevision } from '../records.ts';
import type { Store } from '../store.ts';
import type { Tables } from '../tables.ts';
import { corrupt, inspectDataFile, resizeFile } from './data-file.ts';
import { lockDirectory } from './directory-lock.ts';
import { LmdbTables } from './lmdb-tables.ts';

export interface EmbeddedStoreOptions extends MvccOptions {
  /** Made when it is missing. Holds `data.mdb`, LMDB's own `data.mdb-lock`, and `lock`. */
  readonly directory: string;
  readonly log?: Logger | undefined;
}

/** The layout of the tables; a store of another version is refused. */
const format = 1;
const formatName = Buffer.from('format');

/**
 * Opens or creates the store in a directory. Acknowledged writes survive a crash of the process and
 * of the machine. Throws `conflict` when another process has it open, `corrupt` when its file is
 * damaged (the message names it), `unsupported` when a newer version wrote it.
 */
export async function openEmbeddedStore({ directory, log, ...options }: EmbeddedStoreOptions): Promise<Store> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const lock = lockDirectory(directory);
  let tables: Tables | undefined;
  try {
    tables = await openTables(join(directory, 'data.mdb'), log);
    const store = new LockedStore(tables, options, lock);
    log?.debug('store opened', { directory, revision: await store.revision() });
    return store;
  } catch (error) {
    await tables?.[Symbol.asyncDispose]();
    lock[Symbol.dispose]();
    throw error;
  }
}

class LockedStore extends MvccStore {
  readonly #lock: Disposable;

  constructor(tables: Tables, options: MvccOptions, lock: Disposable) {
    super(tables, options);
    this.#lock = lock;
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]();
    this.#lock[Symbol.dispose]();
  }
}

/**
 * A file shorter than its newest state says is either truncated, or ends in pages that were
 * allocated and freed in one transaction and therefore never written. Filled up with zeros both can
 * be mapped; reading everything then tells them apart.
 */
async function openTables(path: string, log: Logger | undefined): Promise<Tables> {
  const file = inspectDataFile(path);
  const short = file !== undefined && file.size < file.needed;
  if (short) resizeFile(path, file.needed);
  let tables: Tables | undefined;
  try {
    tables = await LmdbTables.open(path);
    if (short) {
      log?.warn('the store file is short, verifying it', { path, size: file.size, needed: file.needed });
      verify(tables, path);
    }
    await checkFormat(tables, path);
    return tables;
  } catch (error) {
    await tables?.[Symbol.asyncDispose]();
    if (short) resizeFile(path, file.size);
    throw error;
  }
}

function verify(tables: Tables, path: string): void {
  for (const { key, value } of tables.range('current', {})) decodeCurrent(value, key.toString());
  for (const { key, value } of tables.range('versions', {})) decodeVersion(key, value);
  let last = 0;
  for (const { key } of tables.range('log', {})) last = decodeRevision(key);
  const newest = tables.get('meta', Buffer.from('revision'));
  if (last > 0 && (newest === undefined || decodeRevision(newest) < last)) throw corrupt(path, 'its end is missing');
}

async function checkFormat(tables: Tables, path: string): Promise<void> {
  const found = tables.get('meta', formatName);
  if (found === undefined) {
    await tables.commit([{ table: 'meta', key: formatName, value: encodeRevision(format) }]);
  } else if (decodeRevision(found) !== format) {
    throw new WherryError('unsupported', `the store ${path} has format ${decodeRevision(found)}, this needs ${format}`);
  }
}
