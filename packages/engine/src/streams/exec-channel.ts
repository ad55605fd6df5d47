import { readFileSync, rmSync, watch, writeSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { type Deferred, deferred, errnoOf, WherryError } from '@wherry/base';
import { closeQuietly, openMemoryFile, openPipe, streamOfDescriptor, wholeFile } from '@wherry/linux';
import type { ProcessSpec } from '@wherry/oci';
import { lastError } from '../runtime/messages.ts';

/** A pipe takes so many bytes without anybody to read them, however few pages it has (pipe(7), PIPE_BUF). */
const alwaysTaken = 4096;

/** The numbers that the runtime has its ends under. */
const runtimeEnds = { process: 3, log: 4, pid: 5 } as const;
const ownDescriptor = (number: number): string => `/proc/self/fd/${number}`;

/**
 * What passes between this process and a runtime's `exec` besides the command's own streams: the process
 * specification on a pipe, so that the runtime can be started before the command is known, its log in a file in
 * memory, and the number of the command's process. Nothing of it is left when either side dies.
 */
export class ExecChannel implements Disposable {
  /** The runtime's options, before `exec` and after it. */
  readonly options: { readonly global: readonly string[]; readonly exec: readonly string[] };
  /** For the runtime, by their number there. */
  readonly descriptors: Readonly<Record<number, number>>;
  readonly #process = openPipe();
  readonly #log = openMemoryFile('exec log');
  readonly #pid: PidReport;
  #told = false;
  #closed = false;

  /** `pidFile` is for a runtime that replaces the file as a whole, as runc does; others write to a pipe. */
  constructor(pidFile?: string) {
    this.#pid = pidFile === undefined ? new PidPipe() : new PidFile(pidFile);
    this.options = {
      global: [`--log=${ownDescriptor(runtimeEnds.log)}`, '--log-format=json'],
      exec: [`--process=${ownDescriptor(runtimeEnds.process)}`, `--pid-file=${this.#pid.path}`],
    };
    this.descriptors = {
      [runtimeEnds.process]: this.#process.read,
      [runtimeEnds.log]: this.#log,
      ...this.#pid.descriptors,
    };
  }

  /** The runtime has its descriptors. */
  started(): void {
    closeQuietly(this.#process.read);
    this.#pid.started();
  }

  /** Lets the runtime go on: it has waited for this. */
  tell(process: ProcessSpec): void {
    this.#told = true;
    const text = Buffer.from(JSON.stringify(process));
    if (text.length > alwaysTaken) {
      // One that has ended says why by its exit.
      streamOfDescriptor(this.#process.write, { readable: false })
        .on('error', () => undefined)
        .end(text);
      return;
    }
    try {
      writeSync(this.#process.write, text);
    } catch (error) {
      if (errnoOf(error) !== 'EPIPE') throw error;
    } finally {
      closeQuietly(this.#process.write);
    }
  }

  /** Resolves when the command runs; rejects with what `end` was given. */
  get pid(): Promise<number> {
    return this.#pid.found.promise;
  }

  /** The last error that the runtime has logged. */
  error(): string | undefined {
    return this.#closed ? undefined : lastError(wholeFile(this.#log).toString());
  }

  /** The runtime has ended; without an error the process number is there or comes at once. */
  end(error?: unknown): void {
    this.#pid.end(error);
    this[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    // Who waits to be told reads the end and gives up.
    if (!this.#told) closeQuietly(this.#process.write);
    closeQuietly(this.#log);
    this.#pid[Symbol.dispose]();
  }
}

interface PidReport extends Disposable {
  readonly path: string;
  readonly descriptors: Readonly<Record<number, number>>;
  readonly found: Deferred<number>;
  started(): void;
  end(error?: unknown): void;
}

const noNumber = (): WherryError => new WherryError('internal', 'the command ended without a process number');

class PidPipe implements PidReport {
  readonly path = ownDescriptor(runtimeEnds.pid);
  readonly descriptors: Readonly<Record<number, number>>;
  readonly found = deferred<number>();
  readonly #ends = openPipe();
  readonly #stream = streamOfDescriptor(this.#ends.read, { writable: false });

  constructor() {
    this.descriptors = { [runtimeEnds.pid]: this.#ends.write };
    this.found.promise.catch(() => undefined);
    this.#stream
      .once('data', (text) => {
        this.found.resolve(Number(text));
        this.#stream.destroy();
      })
      .once('end', () => this.#stream.destroy())
      .on('error', this.found.reject);
  }

  started(): void {
    closeQuietly(this.#ends.write);
  }

  end(error: unknown): void {
    if (error !== undefined) this.found.reject(error);
    // It was written before the runtime ended, but its end may be seen first.
    else if (this.#stream.destroyed) this.found.reject(noNumber());
    else this.#stream.once('close', () => this.found.reject(noNumber()));
  }

  [Symbol.dispose](): void {
    // It ends with the runtime.
  }
}

class PidFile implements PidReport {
  readonly path: string;
  readonly descriptors = {};
  readonly found = deferred<number>();
  readonly #watcher;

  constructor(path: string) {
    this.path = path;
    this.found.promise.catch(() => undefined);
    this.#watcher = watch(dirname(path), { persistent: false }, (_event, name) => {
      if (name === basename(path)) this.#look();
    }).on('error', this.found.reject);
  }

  #look(): void {
    const pid = Number(textOf(this.path));
    if (pid > 0) this.found.resolve(pid);
  }

  started(): void {}

  end(error: unknown): void {
    this.#look();
    this.found.reject(error ?? noNumber());
  }

  [Symbol.dispose](): void {
    this.#watcher.close();
    rmSync(this.path, { force: true });
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
