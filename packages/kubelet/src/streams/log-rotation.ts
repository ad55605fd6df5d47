import { watch } from 'node:fs';
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Clock, errnoOf, type Logger, messageOf } from '@wherry/base';
import type { RuntimeService } from '@wherry/runtime';

export interface RotationSettings {
  readonly maxBytes: number;
  /** Files in all, the current one among them. */
  readonly maxFiles: number;
}

export const defaultRotation: RotationSettings = { maxBytes: 10 * 1024 * 1024, maxFiles: 5 };

/**
 * Moves a log that has grown too large aside as `0.log.20260131-120000`, lets the monitor open a
 * fresh one and drops the oldest. Gives whether it was rotated.
 */
export async function rotateLog(
  { id, logPath }: { readonly id: string; readonly logPath: string },
  runtime: RuntimeService,
  clock: Clock,
  { maxBytes, maxFiles }: RotationSettings = defaultRotation,
): Promise<boolean> {
  try {
    if ((await stat(logPath)).size < maxBytes) return false;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
  const stamp = new Date(clock.now()).toISOString().slice(0, 19).replace(/[-:]/g, '').replace('T', '-');
  const aside = `${logPath}.${stamp}`;
  await rename(logPath, aside);
  try {
    await runtime.reopenContainerLog(id);
  } catch (error) {
    // The monitor still writes to the old file: give it its name back.
    await rename(aside, logPath);
    throw error;
  }
  const folder = dirname(logPath);
  const prefix = `${logPath.slice(folder.length + 1)}.`;
  const old = (await readdir(folder)).filter((name) => name.startsWith(prefix)).sort();
  for (const name of old.slice(0, Math.max(old.length - (maxFiles - 1), 0)))
    await rm(join(folder, name), { force: true });
  return true;
}

/** How long a log that is written to may grow before its size is looked at (ms); upstream's period. */
const checkDelay = 10_000;

/**
 * Rotates the logs of running containers. The first write after a check (inotify) arms a timer, its
 * end looks at the size: a silent container costs nothing, a chatty one a stat(2) every ten seconds.
 */
export class LogRotation implements Disposable {
  readonly #runtime: RuntimeService;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #settings: RotationSettings;
  readonly #waits = new Map<string, Disposable>();

  constructor(runtime: RuntimeService, clock: Clock, log: Logger, settings: RotationSettings = defaultRotation) {
    this.#runtime = runtime;
    this.#clock = clock;
    this.#log = log;
    this.#settings = settings;
  }

  /** Begins with a container that runs. */
  add(id: string, logPath: string): void {
    if (!this.#waits.has(id)) this.#await(id, logPath);
  }

  /** Ends with a container. */
  delete(id: string): void {
    this.#waits.get(id)?.[Symbol.dispose]();
    this.#waits.delete(id);
  }

  [Symbol.dispose](): void {
    for (const id of [...this.#waits.keys()]) this.delete(id);
  }

  #await(id: string, logPath: string): void {
    try {
      const watcher = watch(logPath, { persistent: false }, () => {
        watcher.close();
        this.#waits.set(
          id,
          this.#clock.after(checkDelay, () => void this.#check(id, logPath)),
        );
      });
      watcher.on('error', () => watcher.close());
      this.#waits.set(id, { [Symbol.dispose]: () => watcher.close() });
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') this.#log.warn('cannot watch a log', { path: logPath, error: messageOf(error) });
    }
  }

  async #check(id: string, logPath: string): Promise<void> {
    try {
      await rotateLog({ id, logPath }, this.#runtime, this.#clock, this.#settings);
    } catch (error) {
      this.#log.warn('cannot rotate a log', { path: logPath, error: messageOf(error) });
    }
    if (this.#waits.has(id)) this.#await(id, logPath);
  }
}
