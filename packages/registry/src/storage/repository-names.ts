import { opendir } from 'node:fs/promises';
import { join } from 'node:path';
import { isRepositoryName, type RepositoryName } from '../names.ts';
import { isMissing } from './files.ts';

/** The names of all repositories, in memory: found once by walking the folder, kept up by those who change it. */
export class RepositoryNames {
  readonly #folder: string;
  readonly #names = new Set<RepositoryName>();
  #sorted: readonly RepositoryName[] | undefined;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async load(): Promise<void> {
    await this.#walk('');
  }

  has(name: string): boolean {
    return this.#names.has(name as RepositoryName);
  }

  add(name: RepositoryName): void {
    if (this.#names.has(name)) return;
    this.#names.add(name);
    this.#sorted = undefined;
  }

  remove(name: RepositoryName): void {
    if (this.#names.delete(name)) this.#sorted = undefined;
  }

  sorted(): readonly RepositoryName[] {
    this.#sorted ??= [...this.#names].sort();
    return this.#sorted;
  }

  async #walk(name: string): Promise<void> {
    try {
      for await (const entry of await opendir(join(this.#folder, name))) {
        if (!entry.isDirectory()) continue;
        if (entry.name === '_blobs' || entry.name === '_manifests') {
          if (isRepositoryName(name)) this.add(name);
        } else if (!entry.name.startsWith('_')) await this.#walk(name === '' ? entry.name : `${name}/${entry.name}`);
      }
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }
}
