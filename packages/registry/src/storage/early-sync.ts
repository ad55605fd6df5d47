import type { FileHandle } from 'node:fs/promises';

/** Bytes that go to the disk together. */
const portion = 16 * 1024 * 1024;

/** Has what was written to a file go to the disk while more comes: the sync at its end has little left to wait for. */
export class EarlySync {
  #unsynced = 0;
  #running: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;

  /** So much more is written. */
  written(file: FileHandle, bytes: number): void {
    this.#unsynced += bytes;
    if (this.#unsynced < portion || this.#running !== undefined) return;
    this.#unsynced = 0;
    this.#running = this.#sync(file);
  }

  /** Resolves when the file may be closed. Rejects, from then on, once the disk failed: the kernel tells that only once (fsync(2)). */
  async rest(): Promise<void> {
    await this.#running;
    if (this.#failure) throw this.#failure.error;
  }

  async #sync(file: FileHandle): Promise<void> {
    try {
      await file.datasync();
    } catch (error) {
      this.#failure = { error };
    }
    this.#running = undefined;
  }
}
