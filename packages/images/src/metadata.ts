import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, Mutex, WherryError, writeFileAtomically } from '@wherry/base';
import type { Digest } from '@wherry/oci';
import { parseObject } from './content/json.ts';

/** One image: a manifest for one platform. */
export interface ImageRecord {
  readonly manifest: Digest;
  readonly mediaType: string;
  /** Digest of the config: the image's ID. */
  readonly id: Digest;
  readonly layers: readonly LayerRecord[];
  /** Manifest, config and layers as stored. */
  readonly sizeBytes: number;
  readonly user: string;
  /** When it came here, ms. */
  readonly addedAt: number;
}

export interface LayerRecord {
  readonly digest: Digest;
  readonly size: number;
  readonly diffId: Digest;
  /** Of this layer on top of those before it (OCI config.md, "Layer ChainID"). */
  readonly chainId: Digest;
}

/** What a name means: `target` is what the registry or archive named, an index or the manifest itself. */
export interface NameRecord {
  readonly manifest: Digest;
  readonly target: Digest;
}

interface State {
  readonly version: 1;
  readonly images: Record<string, ImageRecord>;
  readonly names: Record<string, NameRecord>;
}

/**
 * Names and images, in one file `images.json` that is replaced atomically and read once, when first
 * needed. Names are full references, with tag (`docker.io/library/busybox:1.35`) or digest.
 */
export class Metadata {
  readonly #path: string;
  readonly #mutex = new Mutex();
  #loading: Promise<State> | undefined;

  constructor(directory: string) {
    this.#path = join(directory, 'images.json');
  }

  async images(): Promise<readonly ImageRecord[]> {
    return Object.values((await this.#state()).images);
  }

  async image(manifest: Digest): Promise<ImageRecord | undefined> {
    return (await this.#state()).images[manifest];
  }

  async name(name: string): Promise<NameRecord | undefined> {
    const { names } = await this.#state();
    return Object.hasOwn(names, name) ? names[name] : undefined;
  }

  async names(): Promise<readonly (readonly [string, NameRecord])[]> {
    return Object.entries((await this.#state()).names);
  }

  /** Adds an image under names, which move from wherever they pointed. */
  async add(image: ImageRecord, names: readonly (readonly [string, Digest])[]): Promise<void> {
    await this.#update((state) => {
      state.images[image.manifest] ??= image;
      for (const [name, target] of names) state.names[name] = { manifest: image.manifest, target };
    });
  }

  /** Removes names, and images with every name that points to them. */
  async remove(names: readonly string[], manifests: readonly Digest[]): Promise<void> {
    await this.#update((state) => {
      for (const name of names) delete state.names[name];
      for (const manifest of manifests) delete state.images[manifest];
      for (const [name, record] of Object.entries(state.names)) {
        if (manifests.includes(record.manifest)) delete state.names[name];
      }
    });
  }

  async #update(change: (state: State) => void): Promise<void> {
    await this.#mutex.run(async () => {
      const next = structuredClone(await this.#state());
      change(next);
      await writeFileAtomically(this.#path, `${JSON.stringify(next, undefined, 1)}\n`);
      this.#loading = Promise.resolve(next);
    });
  }

  #state(): Promise<State> {
    this.#loading ??= this.#load().catch((error: unknown) => {
      this.#loading = undefined;
      throw error;
    });
    return this.#loading;
  }

  async #load(): Promise<State> {
    let content: Buffer;
    try {
      content = await readFile(this.#path);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return { version: 1, images: {}, names: {} };
      throw error;
    }
    const value = parseObject(content, `image index ${this.#path}`);
    if (value.version !== 1) {
      throw new WherryError('unsupported', `${this.#path} was written by another version of Wherry`);
    }
    return value as unknown as State;
  }
}
