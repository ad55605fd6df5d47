import { type FSWatcher, watch } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { type Clock, errnoOf, type Logger, sleep } from '@wherry/base';
import { cutLog, fileSize } from './log-cut.ts';
import type { LogLimits } from './log-limits.ts';

/** A log that is written to is looked at this often at most; one that is not, never. Milliseconds. */
const interval = 1000;

export interface RotatedLogOptions {
  readonly path: string;
  readonly limits: LogLimits;
  /** Makes the monitor write to a new file at `path`, soon. */
  readonly reopen: () => void;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Keeps the log of a running container within its limits. The monitor writes on to a renamed file until it has made the
 * new one, so no line is lost, and a kill in between leaves at worst a log without `path`, which the next engine has
 * made.
 */
export class RotatedLog implements Disposable {
  readonly #options: RotatedLogOptions;
  #watcher: FSWatcher | undefined;
  #timer: Disposable | undefined;
  /** What was rotated last has as much as all files may. */
  #burst = false;
  #stopped = false;
  #work: Promise<void> = Promise.resolve();

  constructor(options: RotatedLogOptions) {
    this.#options = options;
    this.#look(true);
  }

  /** Works one step after the other; a failure (a full disk) is tried again after the interval. */
  #look(watching: boolean): void {
    this.#work = this.#work
      .then(() => this.#check(watching))
      .catch((error: unknown) => {
        this.#options.log.warn('a log could not be rotated', { path: this.#options.path, error });
        this.#later();
      });
  }

  async #check(watching: boolean): Promise<void> {
    if (this.#stopped) return;
    const { path, limits } = this.#options;
    // Watched before it is looked at, so that no change falls between.
    const watched = watching && this.#watch();
    const size = await fileSize(path);
    if (watched && size !== undefined && size < limits.maxBytes) return;
    this.#unwatch();
    if (size === undefined) await this.#mend();
    else if (size >= limits.maxBytes) await this.#rotate(size);
    this.#later();
  }

  #later(): void {
    this.#timer?.[Symbol.dispose]();
    if (!this.#stopped) this.#timer = this.#options.clock.after(interval, () => this.#look(true));
  }

  /** Until the first change only: what is written without a pause would wake us all the time. */
  #watch(): boolean {
    try {
      this.#watcher = watch(this.#options.path, { persistent: false }, () => this.#changed());
      this.#watcher.on('error', () => this.#changed());
      return true;
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
      return false;
    }
  }

  #unwatch(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  #changed(): void {
    if (this.#watcher === undefined) return;
    this.#unwatch();
    this.#look(false);
  }

  async #rotate(size: number): Promise<void> {
    const { path, limits, reopen } = this.#options;
    const kept = Math.max(1, limits.maxFiles - 1);
    this.#burst = false;
    for (let number = kept - 1; number >= 1; number--)
      await renameIfThere(`${path}.${number}`, `${path}.${number + 1}`);
    await rename(path, `${path}.1`);
    reopen();
    if (!(await this.#reopened())) return;
    if (limits.maxFiles <= 1) await rm(`${path}.1`, { force: true });
    else if (size > 2 * limits.maxBytes) {
      // One more than there is room for beside the new file: it may stay empty.
      await dropBeyond(path, kept, await cutLog(`${path}.1`, limits, limits.maxFiles), 1);
      this.#burst = true;
    }
  }

  /** The monitor makes it in the next turn of its loop, unless that waits for somebody who reads slowly. */
  async #reopened(): Promise<boolean> {
    for (let wait = 1; wait < interval; wait *= 2) {
      if ((await fileSize(this.#options.path)) !== undefined) return true;
      if (this.#stopped) return false;
      await sleep(this.#options.clock, wait);
    }
    return false;
  }

  /** A second order to make the file would empty the one that the first is about to make. */
  async #mend(): Promise<void> {
    if (!(await this.#reopened()) && !this.#stopped) this.#options.reopen();
  }

  /** Ends at the end of the container, when all is written: leaves what the limits allow. */
  async finish(): Promise<void> {
    this[Symbol.dispose]();
    await this.#work;
    await finishLog(this.#options.path, this.#options.limits, this.#options.log, this.#burst);
  }

  [Symbol.dispose](): void {
    this.#stopped = true;
    this.#unwatch();
    this.#timer?.[Symbol.dispose]();
  }
}

/** Cuts the log of an ended container to its limits. `burst`: what was rotated last takes the room of all files. */
export async function finishLog(path: string, limits: LogLimits, log: Logger, burst = false): Promise<void> {
  try {
    const files = Math.max(1, limits.maxFiles);
    const size = await fileSize(path);
    // The monitor may have ended before it made the new file: then what was rotated last is all that there is.
    if (size === undefined || size === 0) return await finishRotated(path, limits, files);
    const held = size > limits.maxBytes / 2 ? await cutLog(path, limits, files) : 1;
    await dropBeyond(path, files, held, 0);
    if (burst && held < files) await finishRotated(path, limits, files - held);
  } catch (error) {
    log.warn('a log could not be cut', { path, error });
  }
}

async function finishRotated(path: string, limits: LogLimits, files: number): Promise<void> {
  const last = `${path}.1`;
  if (((await fileSize(last)) ?? 0) <= limits.maxBytes) return;
  await dropBeyond(path, files, await cutLog(last, limits, files), 1);
}

/** Removes the oldest files where the one of `number` holds as much as several. */
async function dropBeyond(path: string, files: number, held: number, number: number): Promise<void> {
  const most = number + Math.max(0, files - held);
  for (let oldest = number + files; oldest > most; oldest--) await rm(`${path}.${oldest}`, { force: true });
}

async function renameIfThere(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}
