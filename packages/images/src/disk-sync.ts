import { syncFileSystem } from '@wherry/linux';

/** One sync of a file system for all that was written to it meanwhile by those who did not sync it themselves. */
export class DiskSync {
  readonly #directory: string;
  #isBehind = false;
  #synced: Promise<void> = Promise.resolve();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Something was written, and is whole. */
  note(): void {
    this.#isBehind = true;
  }

  /** Resolves once all that was noted so far is on the disk. Rejects where the disk fails; then the next one tries again. */
  async run(): Promise<void> {
    if (this.#isBehind) {
      this.#isBehind = false;
      this.#synced = syncFileSystem(this.#directory);
      this.#synced.catch(() => {
        this.#isBehind = true;
      });
    }
    // A sync that another began covers what was noted before it.
    await this.#synced;
  }
}
