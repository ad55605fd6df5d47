import type { FileHandle } from 'node:fs/promises';

/** A blob's bytes, readable at any place. */
export interface BlobBytes {
  readonly size: number;
  /** Of a file that has all of them. */
  readonly descriptor?: number | undefined;
  /** Reads into the buffer; gives how many bytes, at least one before the end. May wait for bytes still on their way. */
  read(buffer: Uint8Array, position: number): Promise<number>;
  close(): Promise<void>;
}

/** A stored blob, opened. */
export class OpenedBlob implements BlobBytes {
  readonly size: number;
  readonly #handle: FileHandle;

  constructor(handle: FileHandle, size: number) {
    this.#handle = handle;
    this.size = size;
  }

  get descriptor(): number {
    return this.#handle.fd;
  }

  async read(buffer: Uint8Array, position: number): Promise<number> {
    return (await this.#handle.read(buffer, 0, buffer.length, position)).bytesRead;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}
