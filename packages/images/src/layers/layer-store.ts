import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, KeyedMutex, removeTree, systemRandom } from '@wherry/base';
import { spreadSubfolders } from '@wherry/linux';
import { type Digest, digestOf, hexOf } from '@wherry/oci';
import { readNames } from '../content/folder-names.ts';
import type { GrowingFileHandle } from '../content/growing-file.ts';
import type { DiskSync } from '../disk-sync.ts';
import type { LayerTasks } from '../threads/layer-task.ts';
import type { LayerThreads } from '../threads/layer-threads.ts';
import { EarlyUnpack } from './early-unpack.ts';
import type { Unpacked, UnpackLimits } from './unpack.ts';

/** What is known of an unpacked layer; `layer.json` beside it. */
export interface LayerFacts extends Unpacked {
  readonly chainId: Digest;
  readonly diffId: Digest;
  /** Length of the plain tar; layers of before do not say it. */
  readonly tarBytes?: number | undefined;
}

type LayerIds = Pick<LayerFacts, 'chainId' | 'diffId'>;

/** Short names keep overlayfs' mount options short; the whole chain ID stands in `layer.json`. */
const nameLength = 24;
const temporaryPrefix = '.unpack-';

export interface UnpackOptions {
  /** Resolves when the layers below are unpacked. */
  readonly below?: Promise<unknown> | undefined;
  /** Whether the blob was hashed when it came, and its digest is the diff ID. */
  readonly isHashed?: boolean | undefined;
  /** What was begun while the blob came. */
  readonly early?: EarlyUnpack | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Unpacked layers: `layers/<chain id, shortened>/fs`, each unpacked once into a temporary folder and
 * renamed whole. A layer is kept by chain ID and not by diff ID because folders that its archive
 * only implies take their owner and mode from the layers below.
 */
export class LayerStore {
  #made: Promise<void> | undefined;
  readonly #directory: string;
  readonly #limits: UnpackLimits;
  readonly #disk: DiskSync;
  readonly #threads: LayerThreads;
  readonly #locks = new KeyedMutex();
  /** Of layers that were looked at: they do not change, and only this process removes them. */
  readonly #known = new Map<Digest, LayerFacts>();

  constructor(directory: string, limits: UnpackLimits, threads: LayerThreads, disk: DiskSync) {
    this.#disk = disk;
    this.#directory = join(directory, 'layers');
    this.#limits = limits;
    this.#threads = threads;
  }

  /** The unpacked folder of a layer, or where it would be. */
  folder(chainId: Digest): string {
    return join(this.#home(chainId), 'fs');
  }

  async has(chainId: Digest): Promise<boolean> {
    if (await isFolder(this.folder(chainId))) return (await this.facts(chainId)) !== undefined;
    this.#known.delete(chainId);
    return false;
  }

  /** Size and files of a layer; `undefined` when it is not unpacked. */
  async facts(chainId: Digest): Promise<LayerFacts | undefined> {
    const known = this.#known.get(chainId);
    if (known) return known;
    const facts = await readFacts(this.#home(chainId));
    if (facts === undefined || facts.chainId !== chainId || !(await isFolder(this.folder(chainId)))) return undefined;
    this.#known.set(chainId, facts);
    return facts;
  }

  /**
   * Unpacks a layer unless it is there. `blob` is the path of its tar, compressed or not; `parents` the chain IDs of the
   * layers below, topmost first, already unpacked, or those that `below` waits for: few layers need them, so that
   * others are unpacked beside them. False where it is there. Throws `corrupt` when the plain content is not `diffId`; then
   * nothing is left.
   */
  async unpack(
    layer: LayerIds,
    blob: string,
    parents: readonly Digest[],
    options: UnpackOptions = {},
  ): Promise<boolean> {
    const work = async (): Promise<boolean> => {
      if (await this.has(layer.chainId)) return false;
      const lower = parents.map((parent) => this.folder(parent));
      const { early } = options;
      if (early?.take()) {
        if (early.isBeside) this.#threads.takePlace(early.result);
        if (await this.#finish(early, lower, layer, options)) return true;
      } else if (parents.length > 0 && options.below && (await this.#unpackBeside(lower, layer, blob, options))) {
        return true;
      }
      await using temporary = await this.temporary();
      const { implied: _, ...unpacked } = (await this.#unpackInto(temporary.path, lower, layer, blob, options))!;
      await this.#enter(temporary.path, { ...unpacked, chainId: layer.chainId, diffId: layer.diffId });
      return true;
    };
    return await this.#locks.run(layer.chainId, work, options);
  }

  /**
   * Begins to unpack a layer whose blob is still being written: into a folder of its own, so that nobody who has the blob waits
   * for it. `parents` as of `unpack`. `undefined` where it is here, or as many others are under way as may be.
   */
  async unpackEarly(
    layer: LayerIds,
    blob: GrowingFileHandle,
    parents: readonly Digest[],
    { signal }: { readonly signal: AbortSignal },
  ): Promise<EarlyUnpack | undefined> {
    if (await this.has(layer.chainId)) return undefined;
    const lower = parents.length > 0 ? undefined : [];
    return await this.#unpackGrowing(
      { blob, diffId: layer.diffId, isHashed: false, lower },
      { isWhole: false, signal },
    );
  }

  /**
   * As `unpackEarly`, of a blob of which it is not known what it is: whoever takes it over has to. `isHashed`: as plain content
   * it has the diff ID that somebody else finds. `isBottom`: nothing will be below it.
   */
  async unpackUnknown(
    { growing, isHashed }: { readonly growing: GrowingFileHandle; readonly isHashed: boolean },
    {
      isBottom,
      isWhole,
      signal,
    }: { readonly isBottom: boolean; readonly isWhole: boolean; readonly signal: AbortSignal },
  ): Promise<EarlyUnpack | undefined> {
    const lower = isBottom ? [] : undefined;
    return await this.#unpackGrowing({ blob: growing, diffId: undefined, isHashed, lower }, { isWhole, signal });
  }

  /** `isWhole`: it waits for nothing but a thread. */
  async #unpackGrowing(
    request: Omit<LayerTasks['unpack']['request'], 'folder' | 'limits'>,
    { isWhole, signal }: { readonly isWhole: boolean; readonly signal: AbortSignal },
  ): Promise<EarlyUnpack | undefined> {
    const temporary = await this.temporary();
    const whole = await this.#unpackRequest(temporary.path, request);
    const stop = new AbortController();
    const options = { signal: AbortSignal.any([signal, stop.signal]) };
    const work = isWhole
      ? this.#threads.run('unpack', whole, options)
      : this.#threads.runWaiting('unpack', whole, options);
    if (work) return new EarlyUnpack(temporary, work, { stop, isBeside: !isWhole });
    await temporary[Symbol.asyncDispose]();
    return undefined;
  }

  /** While the layers below may still be under way, which few layers need. False: it could not be done without them, and they are there. */
  async #unpackBeside(
    lower: readonly string[],
    layer: LayerIds,
    blob: string,
    options: UnpackOptions,
  ): Promise<boolean> {
    await using temporary = await this.temporary();
    const result = this.#unpackInto(temporary.path, undefined, layer, blob, options);
    return await this.#finish({ path: temporary.path, result }, lower, layer, options);
  }

  /** Enters what was unpacked without the layers below, once they are there. False as of `#unpackBeside`. */
  async #finish(
    { path, result }: { readonly path: string; readonly result: Promise<LayerTasks['unpack']['result']> },
    lower: readonly string[],
    { chainId, diffId }: LayerIds,
    options: UnpackOptions,
  ): Promise<boolean> {
    const found = await result;
    await options.below;
    if (found === undefined || (found.diffId ?? (options.isHashed && diffId)) !== diffId) return false;
    const { implied, ...unpacked } = found;
    const folder = join(path, 'fs');
    if (implied.length > 0 && !(await this.#threads.run('settle', { folder, lower, implied }, options))) {
      return false;
    }
    await this.#enter(path, { ...unpacked, chainId, diffId });
    return true;
  }

  async #unpackInto(
    temporary: string,
    lower: readonly string[] | undefined,
    layer: LayerIds,
    blob: string,
    { isHashed = false, signal }: UnpackOptions,
  ): Promise<LayerTasks['unpack']['result']> {
    const request = await this.#unpackRequest(temporary, { blob, diffId: layer.diffId, isHashed, lower });
    return await this.#threads.run('unpack', request, { signal });
  }

  /** Makes the folder for the files, and gives what a thread needs to fill it. */
  async #unpackRequest(
    temporary: string,
    request: Omit<LayerTasks['unpack']['request'], 'folder' | 'limits'>,
  ): Promise<LayerTasks['unpack']['request']> {
    const folder = join(temporary, 'fs');
    await mkdir(folder, { mode: 0o755 });
    return { ...request, folder, limits: this.#limits };
  }

  /**
   * Takes a folder that was written as a layer: by renaming it, so that it must be on the same file system
   * (rejects with EXDEV). Gives false, and leaves the folder, when the layer is there already.
   */
  async adopt(folder: string, facts: LayerFacts): Promise<boolean> {
    return await this.#locks.run(facts.chainId, async () => {
      if (await this.has(facts.chainId)) return false;
      await using temporary = await this.temporary();
      await rename(folder, join(temporary.path, 'fs'));
      await this.#enter(temporary.path, facts);
      return true;
    });
  }

  /** A folder for what is being made; what is left of it when it is disposed is removed. */
  async temporary(): Promise<AsyncDisposable & { readonly path: string }> {
    this.#made ??= this.#make();
    await this.#made;
    const path = join(this.#directory, temporaryPrefix + systemRandom.hex(12));
    await mkdir(path, { recursive: true, mode: 0o700 });
    return { path, [Symbol.asyncDispose]: () => removeTree(path) };
  }

  /** All layers that are here. */
  async list(): Promise<LayerFacts[]> {
    const found: LayerFacts[] = [];
    for (const name of await readNames(this.#directory)) {
      const facts = name.startsWith('.') ? undefined : await readFacts(join(this.#directory, name));
      if (facts) found.push(facts);
    }
    return found;
  }

  /** Takes a layer away at once; gives what then removes its files, which may take its time. */
  async detach(chainId: Digest): Promise<(() => Promise<void>) | undefined> {
    this.#known.delete(chainId);
    return await this.#aside(this.#home(chainId));
  }

  /** Takes away every layer that `keep` does not name, and folders that are none. */
  async detachOthers(keep: (chainId: Digest) => boolean): Promise<(() => Promise<void>)[]> {
    const removals: (() => Promise<void>)[] = [];
    for (const name of await readNames(this.#directory)) {
      if (name.startsWith('.')) continue;
      const facts = await readFacts(join(this.#directory, name));
      if (facts && keep(facts.chainId)) continue;
      if (facts) this.#known.delete(facts.chainId);
      const removal = await this.#aside(join(this.#directory, name));
      if (removal) removals.push(removal);
    }
    return removals;
  }

  /** Bytes and files of all layers, from their facts. */
  async usage(): Promise<{ bytes: number; inodes: number }> {
    const total = { bytes: 0, inodes: 0 };
    for (const { bytes, inodes } of await this.list()) {
      total.bytes += bytes;
      total.inodes += inodes;
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
      if (name.startsWith(temporaryPrefix)) await removeTree(join(this.#directory, name));
    }
  }

  /** Out of sight at once, so that a removal that is cut off leaves no half layer. */
  async #aside(home: string): Promise<(() => Promise<void>) | undefined> {
    const aside = join(this.#directory, temporaryPrefix + systemRandom.hex(12));
    try {
      await rename(home, aside);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    }
    return () => removeTree(aside);
  }

  async #enter(temporary: string, facts: LayerFacts): Promise<void> {
    await writeFile(join(temporary, 'layer.json'), `${JSON.stringify(facts)}\n`);
    // A folder without facts is no layer: what a broken removal left.
    await removeTree(this.#home(facts.chainId));
    await rename(temporary, this.#home(facts.chainId));
    this.#known.set(facts.chainId, facts);
    this.#disk.note();
  }

  async #make(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    spreadSubfolders(this.#directory);
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
