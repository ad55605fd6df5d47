import { WherryError } from '@wherry/base';
import { type Digest, hexOf } from '@wherry/oci';
import type { ImageSummary, PruneImagesOptions, RemovedPart, RemoveImageOptions } from '../image-library.ts';
import { familiarName, hasDigest, repositoryOfName } from '../image-names.ts';
import type { MetadataState } from '../metadata.ts';
import type { StoreParts } from '../store-parts.ts';
import { imageSummaries } from './image-summaries.ts';

/** Removes a name or an image by docker's rules; see `ImageLibrary.remove`. */
export async function removeImage(
  parts: StoreParts,
  reference: string,
  options: RemoveImageOptions,
): Promise<RemovedPart[]> {
  const { image, name } = await parts.finder.require(reference);
  const removal = new Removal(parts, await parts.metadata.state(), options);
  if (name === undefined) await removal.removeId(image.id);
  else await removal.removeName(image.id, name, reference);
  return removal.removed;
}

/** Removes images that nothing needs; see `ImageLibrary.prune`. */
export async function pruneImages(
  parts: StoreParts,
  { all, filter, inUse }: PruneImagesOptions,
): Promise<{ readonly removed: readonly RemovedPart[]; readonly bytes: number }> {
  const state = await parts.metadata.state();
  const removal = new Removal(parts, state, { inUse, pruneParents: true });
  for (const image of await imageSummaries(parts)) {
    const isIntermediate = state.children.has(image.id) && image.names.length + image.digests.length === 0;
    if (isIntermediate || (!all && (image.names.length > 0 || image.isBehindName)) || !filter(image)) continue;
    await unlessInConflict(() => pruneOne(removal, image));
  }
  parts.events.emit({ action: 'prune', id: '', name: undefined, attributes: { reclaimed: `${removal.bytes}` } });
  return { removed: removal.removed, bytes: removal.bytes };
}

async function pruneOne(removal: Removal, { id, names, digests }: ImageSummary): Promise<void> {
  if (names.length + digests.length === 0) await removal.removeId(id);
  for (const name of [...names, ...digests]) {
    // With the last tag of a repository its digests went, too.
    if (removal.state.names.has(name)) await removal.removeName(id, name, familiarName(name));
  }
}

async function unlessInConflict(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'conflict') throw error;
  }
}

/** Removals that belong together, with what they did in order. */
class Removal {
  readonly removed: RemovedPart[] = [];
  /** Unpacked bytes of the layers that went. */
  bytes = 0;
  readonly state: MetadataState;
  readonly #parts: StoreParts;
  readonly #options: RemoveImageOptions;
  #behind: ReadonlySet<string> | undefined;

  constructor(parts: StoreParts, state: MetadataState, options: RemoveImageOptions) {
    this.#parts = parts;
    this.state = state;
    this.#options = options;
  }

  async removeName(id: Digest, name: string, said: string): Promise<void> {
    if (!this.#options.force && isSingle(this.state.namesById(id))) {
      const user = this.#options.inUse(id);
      if (user) {
        throw new WherryError(
          'conflict',
          `conflict: unable to remove repository reference ${JSON.stringify(said)} (must force) - container ${shortId(user.containerId)} is using its referenced image ${shortId(id)}`,
        );
      }
    }
    await this.#untag(id, [name]);
    if (!hasDigest(name)) {
      const repository = repositoryOfName(name);
      const others = this.state.namesById(id).filter((other) => repositoryOfName(other) === repository);
      // Digests of a repository go with its last tag.
      if (others.every(hasDigest)) await this.#untag(id, others, { quiet: true });
    }
    if (this.state.namesById(id).length === 0) await this.#delete(id, true, Boolean(this.#options.force));
  }

  async removeId(id: Digest): Promise<void> {
    const names = this.state.namesById(id);
    if (isSingle(names)) {
      this.#check(id, { children: true, running: true, stopped: !this.#options.force, names: false });
      await this.#untag(id, names);
    }
    await this.#delete(id, false, Boolean(this.#options.force));
  }

  /** `quiet`: after its last name went, an image that is in use or needed stays without a word. */
  async #delete(id: Digest, quiet: boolean, force: boolean): Promise<void> {
    try {
      this.#check(id, { children: true, running: true, stopped: !force, names: !force });
    } catch (error) {
      const isDangling = this.state.namesById(id).length === 0 && !this.state.children.has(id);
      if (quiet && (!isDangling || this.#options.inUse(id) !== undefined)) return;
      throw error;
    }
    const image = this.state.byId(id);
    if (image === undefined) return;
    await this.#untag(id, this.state.namesById(id));
    await this.#deleteContent(id);
    const parent = this.#options.pruneParents === false || !image.parent ? undefined : this.state.byId(image.parent);
    if (parent === undefined || (await this.#isBehindName(parent.manifest))) return;
    await this.#delete(parent.id, true, false);
  }

  async #isBehindName(manifest: Digest): Promise<boolean> {
    this.#behind ??= await this.#parts.finder.behindNames();
    return this.#behind.has(manifest);
  }

  async #deleteContent(id: Digest): Promise<void> {
    const { metadata, layers, garbage, events, finder } = this.#parts;
    const manifests = [...(this.state.manifests.get(id) ?? [])];
    const records = manifests.map((manifest) => this.state.images.get(manifest)!);
    const stack = [...(records[0]?.layers ?? [])].reverse();
    const bytes = new Map<Digest, number>();
    for (const { chainId } of stack) bytes.set(chainId, (await layers.facts(chainId))?.bytes ?? 0);
    const compressed = records.flatMap((record) =>
      record.layers.map(({ digest }) => this.state.compressed.get(digest)),
    );
    await metadata.remove([], manifests);
    finder.forget(id);
    events.emit({ action: 'delete', id, name: id });
    this.removed.push({ deleted: id });
    const gone = await garbage.collectOf({
      blobs: [
        ...records.flatMap((record) => [record.manifest, record.id, ...record.layers.map(({ digest }) => digest)]),
        ...compressed.flatMap((layer) => layer?.digest ?? []),
      ],
      layers: records.flatMap((record) => [...record.layers].reverse().map(({ chainId }) => chainId)),
    });
    for (const chainId of gone) {
      this.removed.push({ deleted: chainId });
      this.bytes += bytes.get(chainId) ?? 0;
    }
  }

  /** `quiet`: docker has one event for a tag and the digests that go with it. */
  async #untag(id: Digest, names: readonly string[], { quiet = false } = {}): Promise<void> {
    if (names.length === 0) return;
    const attributes = this.state.byId(id)?.labels;
    const targets = names.map((name) => this.state.names.get(name)?.target);
    await this.#parts.metadata.remove(names, []);
    for (const name of names) {
      if (!quiet) this.#parts.events.emit({ action: 'untag', id, name: id, attributes });
      this.removed.push({ untagged: familiarName(name) });
    }
    // An index that only this name needed; what belongs to the image stays with it.
    await this.#parts.garbage.collectOf({ blobs: targets.filter((target) => target !== undefined), layers: [] });
  }

  #check(id: Digest, look: { children: boolean; running: boolean; stopped: boolean; names: boolean }): void {
    const conflict = (hard: boolean, why: string): WherryError =>
      new WherryError(
        'conflict',
        `conflict: unable to delete ${shortId(id)} (${hard ? 'cannot be forced' : 'must be forced'}) - ${why}`,
      );
    const user = this.#options.inUse(id);
    if (look.children && this.state.children.has(id)) throw conflict(true, 'image has dependent child images');
    if (look.running && user?.running) {
      throw conflict(true, `image is being used by running container ${shortId(user.containerId)}`);
    }
    if (look.names && this.state.namesById(id).length > 0) {
      throw conflict(false, 'image is referenced in multiple repositories');
    }
    if (look.stopped && user && !user.running) {
      throw conflict(false, `image is being used by stopped container ${shortId(user.containerId)}`);
    }
  }
}

/** One tag at most, and digests of its repository only: then the image and the name are one to people. */
function isSingle(names: readonly string[]): boolean {
  if (names.length <= 1) return true;
  const tags = names.filter((name) => !hasDigest(name));
  return tags.length <= 1 && new Set(names.map(repositoryOfName)).size === 1;
}

function shortId(id: string): string {
  return (id.startsWith('sha256:') ? hexOf(id as Digest) : id).slice(0, 12);
}
