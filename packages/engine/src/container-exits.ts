import { type FSWatcher, mkdirSync, readFileSync, rmSync, statSync, watch } from 'node:fs';
import { join } from 'node:path';

export interface ExitReport {
  readonly exitCode: number;
  /** Milliseconds since the epoch. */
  readonly finishedAt: number;
}

/** The folder into which every monitor writes its container's exit code, by inotify. */
export class ContainerExits implements Disposable {
  readonly folder: string;
  #watcher: FSWatcher | undefined;

  constructor(folder: string) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }

  /** Calls back with the id whenever a file of that name may have come. */
  watch(onChange: (id: string) => void): void {
    this.#watcher = watch(this.folder, { persistent: false }, (_, name) => {
      if (name !== null) onChange(name);
    });
  }

  read(id: string): ExitReport | undefined {
    const path = join(this.folder, id);
    try {
      const text = readFileSync(path, 'utf8').trim();
      return /^-?\d+$/.test(text)
        ? { exitCode: Number(text), finishedAt: Math.round(statSync(path).mtimeMs) }
        : undefined;
    } catch {
      return undefined;
    }
  }

  forget(id: string): void {
    rmSync(join(this.folder, id), { force: true });
  }

  [Symbol.dispose](): void {
    this.#watcher?.close();
  }
}
