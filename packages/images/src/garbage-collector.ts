import { type Logger, messageOf } from '@wherry/base';
import type { Digest } from '@wherry/oci';
import type { ContentStore } from './content/content-store.ts';
import type { Pins } from './content/pins.ts';
import type { Holds } from './holds.ts';
import type { LayerStore } from './layers/layer-store.ts';
import type { Metadata } from './metadata.ts';

interface Parts {
  readonly content: ContentStore;
  readonly layers: LayerStore;
  readonly metadata: Metadata;
  readonly holds: Holds;
  readonly pins: Pins;
  readonly log: Logger;
}

/** What a removal may have left without use. */
export interface Candidates {
  readonly blobs: Iterable<Digest>;
  readonly layers: Iterable<Digest>;
}

/**
 * Removes content that no image, name or hold needs and that no operation has pinned. While it decides, nothing
 * is pinned, so that what an operation found stays; what takes long, removing files, is done afterwards.
 */
export class GarbageCollector {
  readonly #parts: Parts;

  readonly #late = new Set<Promise<unknown>>();

  constructor(parts: Parts) {
    this.#parts = parts;
    parts.pins.onUnpinned = (digests) => {
      const work: Promise<unknown> = this.collectOf({ blobs: digests, layers: digests })
        .catch((error: unknown) => parts.log.warn('unused content was not collected', { error: messageOf(error) }))
        .finally(() => this.#late.delete(work));
      this.#late.add(work);
    };
  }

  /** Resolves once what was let go of until now is collected. */
  async settled(): Promise<void> {
    await Promise.all(this.#late);
  }

  /** Looks at everything that is stored. */
  async collect(): Promise<void> {
    const { content, layers, pins } = this.#parts;
    const removals = await pins.collect(async (isPinned) => {
      const needs = await this.#needs(isPinned);
      for (const digest of await content.list()) if (!needs.blob(digest)) await content.remove(digest);
      return await layers.detachOthers(needs.layer);
    });
    for (const remove of removals) await remove();
  }

  /** Looks only at these; gives the layers that were removed, in the order given. */
  async collectOf(candidates: Candidates): Promise<Digest[]> {
    const { content, layers, pins } = this.#parts;
    const removals: (() => Promise<void>)[] = [];
    const removed: Digest[] = [];
    await pins.collect(async (isPinned) => {
      const needs = await this.#needs(isPinned);
      for (const digest of new Set(candidates.blobs)) if (!needs.blob(digest)) await content.remove(digest);
      for (const chainId of new Set(candidates.layers)) {
        if (needs.layer(chainId)) continue;
        const remove = await layers.detach(chainId);
        if (!remove) continue;
        removals.push(remove);
        removed.push(chainId);
      }
    });
    for (const remove of removals) await remove();
    return removed;
  }

  async #needs(isPinned: (digest: Digest) => boolean): Promise<Record<'blob' | 'layer', (digest: Digest) => boolean>> {
    const state = await this.#parts.metadata.state();
    const blobs = new Set<Digest>();
    const layers = new Set<Digest>();
    for (const { manifest, config, layers: held } of await this.#parts.holds.list()) {
      if (manifest) blobs.add(manifest);
      if (config) blobs.add(config);
      for (const { digest, chainId } of held) {
        blobs.add(digest);
        layers.add(chainId);
      }
    }
    // The compressed form of a layer lives as long as the layer.
    for (const [plain, { digest }] of state.compressed) if (state.isUsed(plain)) blobs.add(digest);
    return {
      blob: (digest) => state.isUsed(digest) || blobs.has(digest) || isPinned(digest),
      layer: (chainId) => state.isLayerUsed(chainId) || layers.has(chainId) || isPinned(chainId),
    };
  }
}
