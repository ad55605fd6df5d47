import { existsSync } from 'node:fs';
import { appendFile, type FileHandle, open, readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isDiskFull } from './errors.ts';
import { syncPath, writeFileAtomically } from './files.ts';
import type { Logger } from './log.ts';
import { otherVersion, unreadableSuffix } from './record-files.ts';

/** A line of the file: the record as it is now, or that there is none any more. */
export type RecordLine<T> = { readonly put: T } | { readonly delete: string };

interface Waiting {
  readonly line: string;
  readonly written: (error?: unknown) => void;
}

/** Below this many bytes a file is never rewritten. */
const smallest = 1 << 20;
const version = 1;
const header = `{"version":${version}}\n`;

/**
 * Records as a file of their changes, a line each: one appended write for all that wait at the same time costs a tenth
 * of a file of its own that is replaced. A line that a crash tore at the end is dropped; what was synced before it
 * stays, as only the end of the file is ever written. Other lines that cannot be read, the first one too, are put aside,
 * into a file beside it: as long as that is there, records may be missing. Rewritten whole when it has grown to four times its records.
 */
export class RecordJournal<T extends { readonly id: string }> implements AsyncDisposable {
  /** The file with lines that could not be read, now or before; `undefined`: all records are here. */
  readonly unreadable: string | undefined;
  readonly #path: string;
  readonly #records: ReadonlyMap<string, T>;
  #file: FileHandle;
  #length: number;
  #lengthWhenRewritten: number;
  #waiting: Waiting[] = [];
  #work: Promise<void> | undefined;
  #syncing: Promise<unknown> = Promise.resolve();
  #nextSync: Promise<void> | undefined;

  private constructor(path: string, records: ReadonlyMap<string, T>, file: FileHandle, length: number) {
    const aside = path + unreadableSuffix;
    this.unreadable = existsSync(aside) ? aside : undefined;
    this.#path = path;
    this.#records = records;
    this.#file = file;
    this.#length = length;
    this.#lengthWhenRewritten = 0;
  }

  /**
   * Fills `records` with what the file has; from then on they are what a rewrite writes. Throws `unsupported` where the
   * file or a record is of another version.
   */
  static async open<T extends { readonly id: string }>(
    path: string,
    records: Map<string, T>,
    log: Logger,
  ): Promise<RecordJournal<T>> {
    await removeUnfinished(path);
    let file = await open(path, 'a+', 0o600);
    try {
      const written = await file.readFile('utf8');
      // A kill may leave a part of the first line.
      if (header.startsWith(written)) await file.truncate(0);
      const content = header.startsWith(written) ? header : written;
      let whole = content.slice(0, content.lastIndexOf('\n') + 1);
      const unreadable: string[] = [];
      // What a crash tore is the end of a file that has a beginning.
      const isJournal = hasHeader(path, content);
      const lines = isJournal ? whole.slice(header.length) : content;
      for (const line of lines.split('\n').filter((text) => text !== '')) {
        const change = parseLine<T>(path, line);
        if (change === undefined) unreadable.push(line);
        else if ('put' in change) records.set(change.put.id, change.put);
        else records.delete(change.delete);
      }
      const aside = path + unreadableSuffix;
      if (unreadable.length > 0) {
        await appendFile(aside, unreadable.map((line) => `${line}\n`).join(''), { mode: 0o600 });
        log.warn('put aside records that cannot be read', { path, aside, records: unreadable.length });
      }
      if (unreadable.length > 0 || !isJournal) {
        whole = wholeText(records);
        await writeFileAtomically(path, whole);
        await file.close();
        file = await open(path, 'a+', 0o600);
      }
      const length = Buffer.byteLength(whole);
      const { size } = await file.stat();
      if (size === 0) {
        await file.write(header);
        await file.sync();
        await syncPath(dirname(path));
      } else if (size > length) await file.truncate(length);
      return new RecordJournal(path, records, file, length);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /**
   * Resolves when a killed daemon would find the line. Lines stand in the order of the calls. After a failure (a full
   * disk) the file is as if it had not been called.
   */
  append(change: RecordLine<T>): Promise<void> {
    return new Promise((resolve, reject) => {
      const written = (error?: unknown): void => (error === undefined ? resolve() : reject(error));
      this.#waiting.push({ line: `${JSON.stringify(change)}\n`, written });
      this.#work ??= this.#flush().finally(() => {
        this.#work = undefined;
      });
    });
  }

  /** Resolves when the lines that were written before outlast a power cut. Who calls at the same time waits for one. */
  sync(): Promise<void> {
    // One that has begun may have missed the last lines: the next one is for all who come until it begins.
    if (this.#nextSync === undefined) {
      const next = this.#syncing.then(() => {
        this.#nextSync = undefined;
        return this.#file.datasync();
      });
      this.#nextSync = next;
      this.#syncing = next.catch(() => undefined);
    }
    return this.#nextSync;
  }

  async #flush(): Promise<void> {
    // Those of one turn of the event loop go together.
    await undefined;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0);
      const error = await this.#write(batch).catch((failure: unknown) => failure);
      for (const { written } of batch) written(error);
    }
  }

  async #write(batch: readonly Waiting[]): Promise<void> {
    const lines = Buffer.from(batch.map(({ line }) => line).join(''));
    try {
      for (let done = 0; done < lines.length; ) done += (await this.#file.write(lines, done)).bytesWritten;
    } catch (error) {
      await this.#file.truncate(this.#length);
      throw error;
    }
    this.#length += lines.length;
    if (this.#length > Math.max(smallest, 4 * this.#lengthWhenRewritten)) await this.#rewrite();
  }

  /** A full disk leaves the old file, which is as good. */
  async #rewrite(): Promise<void> {
    const text = wholeText(this.#records);
    const length = Buffer.byteLength(text);
    this.#lengthWhenRewritten = length;
    try {
      await writeFileAtomically(this.#path, text);
    } catch (error) {
      if (isDiskFull(error)) return;
      throw error;
    }
    const before = this.#file;
    this.#file = await open(this.#path, 'a', 0o600);
    this.#length = length;
    // Behind a sync that is under way.
    await before.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#work;
    await this.#syncing;
    await this.#file.close();
  }
}

const wholeText = <T>(records: ReadonlyMap<string, T>): string =>
  header + [...records.values()].map((record) => `${JSON.stringify({ put: record })}\n`).join('');

/** What a rewrite that was cut off has left. */
async function removeUnfinished(path: string): Promise<void> {
  for (const name of await readdir(dirname(path)))
    if (name.startsWith(`${basename(path)}.`) && name.endsWith('.tmp')) await rm(join(dirname(path), name));
}

/** False: the first line cannot be read. Throws `unsupported`. */
function hasHeader(path: string, content: string): boolean {
  if (content.startsWith(header)) return true;
  let found: unknown;
  try {
    found = (JSON.parse(content.split('\n', 1)[0]!) as { version?: unknown }).version;
  } catch {}
  if (found !== undefined) throw otherVersion(path, found, version);
  return false;
}

/** What cannot be read gives `undefined`. Throws `unsupported`. */
function parseLine<T extends { readonly id: string }>(path: string, line: string): RecordLine<T> | undefined {
  let value: { put?: { id?: unknown; version?: unknown }; delete?: unknown };
  try {
    value = JSON.parse(line) as typeof value;
    if (typeof value.delete === 'string') return value as RecordLine<T>;
    if (typeof value.put?.id !== 'string' || value.put.version === undefined) return undefined;
  } catch {
    return undefined;
  }
  if (value.put.version !== version)
    throw otherVersion(`the record ${value.put.id} in ${path}`, value.put.version, version);
  return value as RecordLine<T>;
}
