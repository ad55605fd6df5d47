import type { Digest } from '@wherry/oci';
import type { LayerRecord } from '../metadata.ts';
import type { StoreParts } from '../store-parts.ts';

/** Layers and blobs that one operation found or brought, kept from being collected until it is disposed. */
export class StoredLayers implements Disposable {
  readonly #parts: Pick<StoreParts, 'content' | 'layers' | 'metadata' | 'pins'>;
  readonly #pins: Disposable[] = [];

  constructor(parts: Pick<StoreParts, 'content' | 'layers' | 'metadata' | 'pins'>) {
    this.#parts = parts;
  }

  /** An unpacked layer of some image here, with its blob. */
  async find(chainId: Digest): Promise<LayerRecord | undefined> {
    const { content, layers, metadata } = this.#parts;
    for (const image of await metadata.images()) {
      const layer = image.layers.find((one) => one.chainId === chainId);
      if (layer === undefined) continue;
      await this.keep([layer.digest, chainId]);
      // It may have gone while the pin waited for a collection.
      if ((await layers.has(chainId)) && (await content.size(layer.digest)) === layer.size) return layer;
    }
    return undefined;
  }

  async keep(digests: Iterable<Digest>): Promise<void> {
    this.#pins.push(await this.#parts.pins.pin(digests));
  }

  [Symbol.dispose](): void {
    for (const pin of this.#pins.splice(0)) pin[Symbol.dispose]();
  }
}
