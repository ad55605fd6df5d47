import { open } from 'node:fs/promises';
import { type Deferred, deferred } from '@wherry/base';

const pieceSize = 1024 * 1024;

/** A file that one writes to its end while others read it. */
export class GrowingFile {
  readonly path: string;
  #length = 0;
  #isWhole = false;
  #failure: unknown;
  #grown: Deferred<void> = deferred();

  constructor(path: string) {
    this.path = path;
  }

  /** The file has this many bytes by now. */
  grow(length: number): void {
    this.#length = length;
    this.#tell();
  }

  end(): void {
    this.#isWhole = true;
    this.#tell();
  }

  /** There will be no more, and whoever reads is told why. */
  fail(error: unknown): void {
    this.#failure = error;
    this.end();
  }

  /** Resolves when there is something to read, or nothing to come. */
  async begun(): Promise<void> {
    while (this.#length === 0 && !this.#isWhole) await this.#grown.promise;
  }

  /** All of it, waiting for what is still to be written. Ends early when the consumer does. */
  async *read(): AsyncGenerator<Buffer, void, undefined> {
    await this.begun();
    if (this.#failure !== undefined) throw this.#failure;
    const file = await open(this.path, 'r');
    try {
      for (let at = 0; ; ) {
        if (this.#failure !== undefined) throw this.#failure;
        if (at === this.#length && this.#isWhole) return;
        if (at === this.#length) {
          await this.#grown.promise;
          continue;
        }
        const buffer = Buffer.allocUnsafe(Math.min(pieceSize, this.#length - at));
        const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
        at += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
    } finally {
      await file.close();
    }
  }

  #tell(): void {
    this.#grown.resolve();
    this.#grown = deferred();
  }
}
