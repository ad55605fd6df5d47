import { createHash } from 'node:crypto';
import { closeSync, fdatasyncSync, ftruncateSync, openSync } from 'node:fs';
import type { Digest } from '@wherry/oci';
import { writeAll } from '../content/write-all.ts';

const bufferSize = 1024 * 1024;
const zeros = Buffer.alloc(256 * 1024);

/** A file that is written and hashed at the same time, synchronously: for worker threads. Runs of zeros become holes. */
export class TarFile implements Disposable {
  readonly #file: number;
  readonly #hash = createHash('sha256');
  readonly #buffer = Buffer.allocUnsafe(bufferSize);
  #filled = 0;
  /** Where the buffer's content belongs. */
  #position = 0;

  constructor(path: string) {
    this.#file = openSync(path, 'wx', 0o600);
  }

  write(content: Uint8Array): void {
    if (content.length > bufferSize - this.#filled) this.#flush();
    if (content.length >= bufferSize) {
      this.#hash.update(content);
      this.#position += writeAll(this.#file, content, this.#position);
      return;
    }
    this.#buffer.set(content, this.#filled);
    this.#filled += content.length;
  }

  writeZeros(count: number): void {
    if (count <= bufferSize - this.#filled) {
      this.#buffer.fill(0, this.#filled, this.#filled + count);
      this.#filled += count;
      return;
    }
    this.#flush();
    for (let left = count; left > 0; left -= zeros.length) {
      this.#hash.update(left >= zeros.length ? zeros : zeros.subarray(0, left));
    }
    this.#position += count;
  }

  /** Ends the file: it is on disk. */
  end(): { readonly digest: Digest; readonly size: number } {
    this.#flush();
    ftruncateSync(this.#file, this.#position);
    fdatasyncSync(this.#file);
    return { digest: `sha256:${this.#hash.digest('hex')}`, size: this.#position };
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }

  #flush(): void {
    const content = this.#buffer.subarray(0, this.#filled);
    this.#hash.update(content);
    this.#position += writeAll(this.#file, content, this.#position);
    this.#filled = 0;
  }
}
