import { type FSWatcher, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import { errnoOf } from '@wherry/base';

/** Notes that a file was written to or replaced: inotify on its folder, because rotation replaces the file. */
export class LogWatch implements Disposable {
  #watcher: FSWatcher | undefined;
  #changes = 0;
  #wake: (() => void) | undefined;

  constructor(path: string) {
    const name = basename(path);
    try {
      this.#watcher = watch(dirname(path), { persistent: false }, (_event, changed) => {
        if (changed === null || changed === name) this.note();
      });
      this.#watcher.on('error', () => this.note());
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
  }

  /** Counts changes seen so far. */
  get changes(): number {
    return this.#changes;
  }

  /** Wakes whoever waits. */
  note(): void {
    this.#changes++;
    this.#wake?.();
  }

  /** Resolves when there was a change after the first `seen`. One caller at a time. */
  async changedSince(seen: number): Promise<void> {
    if (this.#changes !== seen) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = undefined;
  }

  [Symbol.dispose](): void {
    this.#watcher?.close();
  }
}
