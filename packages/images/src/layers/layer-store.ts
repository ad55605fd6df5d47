import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, KeyedMutex, systemRandom, WherryError } from '@wherry/base';
import { type Digest, digestOf, hexOf } from '@wherry/oci';
import { decompressed } from '../content/compression.ts';
import { readNames } from '../content/content-store.ts';
import { type Unpacked, type UnpackLimits, unpackLayer } from './unpack.ts';

interface LayerFacts extends Unpacked {
  readonly chainId: Digest;
  readonly diffId: Digest;
}

/** Short names keep overlayfs' mount options short; the whole chain ID stands in `layer.json`. */
const nameLength = 24;
const temporaryPrefix = '.unpack-';

/**
 * Unpacked layers: `layers/<chain id, shortened>/fs`, each unpacked once into a temporary folder and
 * renamed whole. A layer is kept by chain ID and not by diff ID because folders that its archive
 * only implies take their owner and mode from the layers below.
 */
export class LayerStore {
  readonly #directory: string;
  readonly #limits: UnpackLimits;
  readonly #locks = new KeyedMutex();

  constructor(directory: string, limits: UnpackLimits) {
    this.#directory = join(directory, 'layers');
    this.#limits = limits;
  }

  /** The unpacked folder of a layer, or where it would be. */
  folder(chainId: Digest): string {
    return join(this.#home(chainId), 'fs');
  }

  async has(chainId: Digest): Promise<boolean> {
    return (await this.#facts(chainId)) !== undefined;
  }

  /**
   * Unpacks a layer unless it is there. `blob` is its tar, compressed or not; `parents` the chain IDs
   * of the layers below, topmost first, already unpacked. Throws `corrupt` when the plain content is
   * not `diffId`; then nothing is left.
   */
  async unpack(
    layer: { readonly chainId: Digest; readonly diffId: Digest },
    blob: () => AsyncIterable<Uint8Array>,
    parents: readonly Digest[],
  ): Promise<void> {
    await this.#locks.run(layer.chainId, async () => {
      if (await this.has(layer.chainId)) return;
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      const temporary = join(this.#directory, temporaryPrefix + systemRandom.hex(12));
      try {
        await mkdir(join(temporary, 'fs'), { recursive: true, mode: 0o755 });
        const lower = parents.map((parent) => this.folder(parent));
        const unpacked = await this.#unpackVerified(layer.diffId, blob(), join(temporary, 'fs'), lower);
        const facts: LayerFacts = { ...unpacked, chainId: layer.chainId, diffId: layer.diffId };
        await writeFile(join(temporary, 'layer.json'), `${JSON.stringify(facts)}\n`);
        // A folder without facts is no layer: what a broken removal left.
        await rm(this.#home(layer.chainId), { recursive: true, force: true });
        await rename(temporary, this.#home(layer.chainId));
      } catch (error) {
        await rm(temporary, { recursive: true, force: true });
        throw error;
      }
    });
  }

  /** Removes every layer that `keep` does not name. */
  async removeOthers(keep: (chainId: Digest) => boolean): Promise<void> {
    for (const name of await readNames(this.#directory)) {
      if (name.startsWith('.')) continue;
      const facts = await readFacts(join(this.#directory, name));
      if (facts && keep(facts.chainId)) continue;
      // Out of sight at once, so that a removal that is cut off leaves no half layer.
      const aside = join(this.#directory, temporaryPrefix + systemRandom.hex(12));
      const remove = async (): Promise<void> => {
        await rename(join(this.#directory, name), aside);
        await rm(aside, { recursive: true, force: true });
      };
      await (facts ? this.#locks.run(facts.chainId, remove) : remove());
    }
  }

  /** Bytes and files of all layers, from their facts. */
  async usage(): Promise<{ bytes: number; inodes: number }> {
    const total = { bytes: 0, inodes: 0 };
    for (const name of await readNames(this.#directory)) {
      const facts = name.startsWith('.') ? undefined : await readFacts(join(this.#directory, name));
      total.bytes += facts?.bytes ?? 0;
      total.inodes += facts?.inodes ?? 0;
    }
    return total;
  }

  /** A folder without content, for images without layers. */
  async emptyFolder(): Promise<string> {
    const folder = join(this.#directory, '.empty');
    await mkdir(folder, { recursive: true, mode: 0o755 });
    return folder;
  }

  /** Removes what a process that died left half-unpacked. Only before anything is begun. */
  async cleanUp(): Promise<void> {
    for (const name of await readNames(this.#directory)) {
      if (name.startsWith(temporaryPrefix)) await rm(join(this.#directory, name), { recursive: true, force: true });
    }
  }

  async #unpackVerified(
    diffId: Digest,
    blob: AsyncIterable<Uint8Array>,
    folder: string,
    lower: readonly string[],
  ): Promise<Unpacked> {
    const hash = createHash(diffId.startsWith('sha512:') ? 'sha512' : 'sha256');
    const hashed = async function* (): AsyncGenerator<Uint8Array> {
      for await (const chunk of decompressed(blob)) {
        hash.update(chunk);
        yield chunk;
      }
    };
    const unpacked = await unpackLayer(hashed(), folder, lower, this.#limits);
    const found = hash.digest('hex');
    if (found !== hexOf(diffId)) {
      throw new WherryError('corrupt', `wrong diff id calculated on extraction: sha256:${found}, expected ${diffId}`);
    }
    return unpacked;
  }

  async #facts(chainId: Digest): Promise<LayerFacts | undefined> {
    const facts = await readFacts(this.#home(chainId));
    if (facts === undefined || facts.chainId !== chainId) return undefined;
    return (await isFolder(this.folder(chainId))) ? facts : undefined;
  }

  #home(chainId: Digest): string {
    return join(this.#directory, hexOf(chainId).slice(0, nameLength));
  }
}

/** Chain IDs of a stack of layers, bottom first (OCI config.md). */
export function chainIds(diffIds: readonly Digest[]): Digest[] {
  const chain: Digest[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : digestOf(`${below} ${diffId}`));
  }
  return chain;
}

async function readFacts(home: string): Promise<LayerFacts | undefined> {
  try {
    return JSON.parse(await readFile(join(home, 'layer.json'), 'utf8')) as LayerFacts;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}
