import { constants, createDeflate, createInflate, type Deflate, type Inflate } from 'node:zlib';
import { headerDictionary } from './dictionary.ts';

/** Most bytes that one header block may expand to. */
const longestBlock = 64 * 1024;

/** The two zlib streams of a connection: each header block continues the one before it. */
export class HeaderCodec {
  readonly #inflate: Inflate;
  readonly #deflate: Deflate;
  #output: Buffer[] = [];
  #size = 0;

  constructor() {
    const dictionary = headerDictionary();
    this.#inflate = createInflate({ dictionary, flush: constants.Z_SYNC_FLUSH });
    this.#deflate = createDeflate({ dictionary, flush: constants.Z_SYNC_FLUSH });
    // The call that is under way rejects; an error that comes after it has nobody left to tell.
    this.#inflate.on('error', () => undefined);
    this.#deflate.on('error', () => undefined);
    this.#inflate.on('data', (chunk: Buffer) => {
      this.#size += chunk.length;
      if (this.#size <= longestBlock) this.#output.push(chunk);
    });
  }

  /** Expands one block. Rejects for broken data and for blocks above the limit. One call at a time. */
  expand(block: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#output = [];
      this.#size = 0;
      this.#inflate.once('error', reject);
      this.#inflate.write(block, (error) => {
        this.#inflate.off('error', reject);
        if (error) reject(error);
        else if (this.#size > longestBlock) reject(new Error('a SPDY header block is too large'));
        else resolve(Buffer.concat(this.#output));
      });
    });
  }

  /** Compresses one block. One call at a time. */
  compress(block: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const parts: Buffer[] = [];
      const take = (chunk: Buffer): void => void parts.push(chunk);
      this.#deflate.on('data', take);
      this.#deflate.once('error', reject);
      this.#deflate.write(block);
      this.#deflate.flush(constants.Z_SYNC_FLUSH, () => {
        this.#deflate.off('data', take);
        this.#deflate.off('error', reject);
        resolve(Buffer.concat(parts));
      });
    });
  }

  close(): void {
    this.#inflate.close();
    this.#deflate.close();
  }
}
