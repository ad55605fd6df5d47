import { WherryError } from '@wherry/base';
import type { Container } from './container.ts';
import { linkNames } from './link-names.ts';

/** All containers, by id and by name. A name is taken before its container is made. */
export class ContainerRegistry {
  readonly #byId = new Map<string, Container>();
  readonly #names = new Map<string, string>();

  all(): readonly Container[] {
    return [...this.#byId.values()];
  }

  get(id: string): Container | undefined {
    return this.#byId.get(id);
  }

  add(container: Container): void {
    this.#byId.set(container.id, container);
    this.#names.set(container.name, container.id);
  }

  delete(container: Container): void {
    this.#byId.delete(container.id);
    if (this.#names.get(container.name) === container.id) this.#names.delete(container.name);
  }

  /** By id, name (with a slash or without) or unique prefix of an id. Throws dockerd's words. */
  find(reference: string): Container {
    const exact = this.#byId.get(reference) ?? this.byName(reference.replace(/^\//, '')) ?? this.#byLink(reference);
    if (exact !== undefined) return exact;
    const matches = /^[0-9a-f]{1,64}$/.test(reference)
      ? this.all().filter((container) => container.id.startsWith(reference))
      : [];
    if (reference === '') throw new WherryError('invalid', 'invalid name or ID supplied: ""');
    if (matches.length > 1) throw new WherryError('invalid', `multiple IDs found with provided prefix: ${reference}`);
    if (matches[0] === undefined) throw new WherryError('notFound', `No such container: ${reference}`);
    return matches[0];
  }

  /** As `find`; `undefined` where that throws. */
  lookUp(reference: string): Container | undefined {
    try {
      return this.find(reference);
    } catch {
      return undefined;
    }
  }

  /** `PARENT/ALIAS`: what a link of another leads to. */
  #byLink(reference: string): Container | undefined {
    const [, parent, alias] = /^\/?([^/]+)\/([^/]+)$/.exec(reference) ?? [];
    const record = parent === undefined ? undefined : this.byName(parent)?.record;
    const link = record && linkNames(record).find((known) => known.alias === alias);
    return link && (this.#byId.get(link.target) ?? this.byName(link.target));
  }

  byName(name: string): Container | undefined {
    const id = this.#names.get(name);
    return id === undefined ? undefined : this.#byId.get(id);
  }

  nameTaken(name: string): boolean {
    return this.#names.has(name);
  }

  /** Throws `conflict` in dockerd's words when the name is another's. */
  reserve(name: string, id: string): void {
    const owner = this.#names.get(name);
    if (owner !== undefined && owner !== id)
      throw new WherryError(
        'conflict',
        `Conflict. The container name "/${name}" is already in use by container "${owner}". You have to remove (or rename) that container to be able to reuse that name.`,
      );
    this.#names.set(name, id);
  }

  release(name: string, id: string): void {
    if (this.#names.get(name) === id) this.#names.delete(name);
  }
}
