import type { RepositoryName } from '../names.ts';
import type { BlobStore } from './blob-store.ts';
import type { RepositoryStore } from './repository-store.ts';

/** Bytes of a repository (what it links, each once) and of all content (shared content once): counted when first asked. */
export class Usage {
  readonly #repositories: RepositoryStore;
  readonly #blobs: BlobStore;
  readonly #known = new Map<RepositoryName, Promise<{ bytes: number }>>();
  #total: Promise<{ bytes: number }> | undefined;

  constructor(repositories: RepositoryStore, blobs: BlobStore) {
    this.#repositories = repositories;
    this.#blobs = blobs;
  }

  async repository(name: RepositoryName): Promise<number> {
    let known = this.#known.get(name);
    if (known === undefined) {
      known = this.#count(name);
      this.#known.set(name, known);
      known.catch(() => this.#known.delete(name));
    }
    return (await known).bytes;
  }

  async total(): Promise<number> {
    if (this.#total === undefined) {
      this.#total = this.#countAll();
      this.#total.catch(() => {
        this.#total = undefined;
      });
    }
    return (await this.#total).bytes;
  }

  /** Keeps up a count that was made; what nobody asked for is not counted. */
  async changeRepository(name: RepositoryName, bytes: number): Promise<void> {
    const known = await this.#known.get(name);
    if (known) known.bytes += bytes;
  }

  async changeTotal(bytes: number): Promise<void> {
    const total = await this.#total;
    if (total) total.bytes += bytes;
  }

  forget(name: RepositoryName): void {
    this.#known.delete(name);
  }

  async #count(name: RepositoryName): Promise<{ bytes: number }> {
    let bytes = 0;
    for await (const digest of this.#repositories.blobs(name))
      bytes += (await this.#repositories.blob(name, digest))?.size ?? 0;
    for await (const digest of this.#repositories.manifests(name))
      bytes += (await this.#repositories.manifest(name, digest))?.size ?? 0;
    return { bytes };
  }

  async #countAll(): Promise<{ bytes: number }> {
    let bytes = 0;
    for await (const digest of this.#blobs.list()) bytes += (await this.#blobs.size(digest)) ?? 0;
    return { bytes };
  }
}
