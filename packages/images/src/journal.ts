import { appendFile, type FileHandle, open, readFile, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import {
  codeOf,
  errnoOf,
  otherVersion,
  syncPath,
  unreadableSuffix,
  WherryError,
  writeFileAtomically,
} from '@wherry/base';
import { readNames } from './content/folder-names.ts';
import { namingFullDisk } from './content/full-disk.ts';
import { parseObject } from './content/json.ts';

/** What a journal's changes make. */
export interface JournalState<Change> {
  apply(change: Change): void;
  /** The changes that make this state of an empty one. */
  snapshot(): Iterable<Change>;
}

interface JournalOptions<State> {
  readonly path: string;
  /** A file of version 1, which was one object, taken over and removed when the journal begins. */
  readonly previous: string;
  readonly empty: () => State;
}

/** Below this many bytes a journal is never rewritten. */
const smallest = 256 * 1024;

/**
 * A state kept as a file of its changes: a line for each update, an array, after a first line with the
 * version. An update is one appended and synced line, those that wait at the same time share the sync; a line
 * that a crash tore is dropped. A file that is broken elsewhere is put aside as a whole when it is opened, and what of it
 * can be read is taken. Rewritten whole when it has grown to twice its state.
 */
export class Journal<Change, State extends JournalState<Change>> implements AsyncDisposable {
  readonly #options: JournalOptions<State>;
  #loading: Promise<State> | undefined;
  #file: FileHandle | undefined;
  /** Bytes that are whole and synced. */
  #length = 0;
  #lengthWhenRewritten = 0;
  #waiting: string[] = [];
  #writing: Promise<void> | undefined;
  #after: Promise<void> | undefined;

  constructor(options: JournalOptions<State>) {
    this.#options = options;
  }

  /**
   * Removes what a process that died while it rewrote the file left beside it, and mends a broken file; gives where it
   * was put aside. Only before anything is begun. Throws `unsupported` for another version.
   */
  async cleanUp(): Promise<string | undefined> {
    const { path } = this.#options;
    for (const name of await readNames(dirname(path))) {
      const isOurs = name.startsWith(`${basename(path)}.`) && /\.[0-9a-f]+\.tmp$/.test(name);
      if (isOurs) await rm(join(dirname(path), name), { force: true });
    }
    return await this.#mend();
  }

  async #mend(): Promise<string | undefined> {
    try {
      await this.state();
      return undefined;
    } catch (error) {
      if (codeOf(error) !== 'corrupt') throw error;
    }
    const { path, previous, empty } = this.#options;
    const state = empty();
    const content = await readIfThere(path);
    const broken = content === undefined ? previous : path;
    for (const line of content?.toString('utf8').split('\n') ?? []) {
      for (const change of parseLine(line) ?? []) if (isChange(change)) state.apply(change as Change);
    }
    const aside = `${broken}${unreadableSuffix}`;
    await appendFile(aside, content ?? (await readFile(previous)), { mode: 0o600 });
    await syncPath(aside);
    await this.#rewrite(state);
    return aside;
  }

  /** The state; what it shows may be on its way to the disk. */
  async state(): Promise<State> {
    this.#loading ??= this.#load().catch((error: unknown) => {
      this.#loading = undefined;
      throw error;
    });
    return await this.#loading;
  }

  /** Changes the state by what `change` makes of it, at once; resolves when that is on disk. */
  async update(change: (state: State) => readonly Change[]): Promise<void> {
    const state = await this.state();
    const changes = change(state);
    if (changes.length === 0) {
      await this.#writing;
      return;
    }
    for (const one of changes) state.apply(one);
    this.#waiting.push(`${JSON.stringify(changes)}\n`);
    // Whoever comes while a sync is under way is written by the next one.
    const before = this.#writing;
    this.#writing = before === undefined ? this.#flush(state) : this.#next(before, state);
    await this.#writing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writing?.catch(() => undefined);
    await this.#file?.close();
    this.#file = undefined;
  }

  /** The write after the one under way, one for all who wait. */
  #next(before: Promise<void>, state: State): Promise<void> {
    this.#after ??= before.then(() => {
      this.#after = undefined;
      return this.#flush(state);
    });
    return this.#after;
  }

  async #flush(state: State): Promise<void> {
    const lines = Buffer.from(this.#waiting.splice(0).join(''));
    if (lines.length === 0) return;
    try {
      if (this.#length === 0 || this.#length > Math.max(smallest, 2 * this.#lengthWhenRewritten)) {
        await this.#rewrite(state);
        return;
      }
      if (this.#file === undefined) {
        this.#file = await open(this.#options.path, 'r+');
        await this.#file.truncate(this.#length);
      }
      for (let done = 0; done < lines.length; ) {
        done += (await this.#file.write(lines, done, lines.length - done, this.#length + done)).bytesWritten;
      }
      await this.#file.datasync();
      this.#length += lines.length;
    } catch (error) {
      // What memory has is not what the disk has: it is read anew, and who waited behind fails with this one.
      this.#loading = undefined;
      this.#writing = undefined;
      this.#after = undefined;
      this.#waiting = [];
      await this.#file?.close().catch(() => undefined);
      this.#file = undefined;
      throw namingFullDisk(error);
    }
  }

  async #rewrite(state: State): Promise<void> {
    const lines = ['{"version":2}\n'];
    for (const change of state.snapshot()) lines.push(`${JSON.stringify([change])}\n`);
    const content = Buffer.from(lines.join(''));
    await this.#file?.close();
    this.#file = undefined;
    await writeFileAtomically(this.#options.path, content);
    await rm(this.#options.previous, { force: true });
    this.#length = content.length;
    this.#lengthWhenRewritten = content.length;
  }

  async #load(): Promise<State> {
    const { path, previous, empty } = this.#options;
    const state = empty();
    const content = await readIfThere(path);
    this.#length = 0;
    if (content === undefined) {
      for (const change of await readVersion1(previous)) state.apply(change as Change);
      return state;
    }
    const whole = content.lastIndexOf(0x0a) + 1;
    const [first = '', ...lines] = content.toString('utf8', 0, whole).split('\n').slice(0, -1);
    const { version } = parseObject(Buffer.from(first), `image index ${path}`);
    if (!Number.isSafeInteger(version)) throw new WherryError('corrupt', `the image index ${path} has no version`);
    if (version !== 2) throw otherVersion(path, version, 2);
    for (const [index, line] of lines.entries()) {
      const changes = parseLine(line);
      if (changes === undefined) {
        // A power cut may leave the last line with its end but without its middle.
        if (index === lines.length - 1) break;
        throw new WherryError('corrupt', `line ${index + 2} of ${path} is no change`);
      }
      for (const change of changes) state.apply(change as Change);
      this.#length += Buffer.byteLength(line) + 1;
    }
    this.#length += Buffer.byteLength(first) + 1;
    this.#lengthWhenRewritten = this.#length;
    return state;
  }
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function parseLine(line: string): unknown[] | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isChange(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Version 1 was one object that was replaced at each change. */
async function readVersion1(path: string): Promise<unknown[]> {
  const content = await readIfThere(path);
  if (content === undefined) return [];
  const value = parseObject(content, `image index ${path}`);
  if (value.version !== 1) throw otherVersion(path, value.version, 1);
  const images = Object.values((value.images ?? {}) as object).map((image) => ({ image }));
  const names = Object.entries((value.names ?? {}) as object).map(([name, to]) => ({ name, to }));
  return [...images, ...names];
}
