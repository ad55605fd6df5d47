import type { KindDeclaration } from '@wherry/api';

/** The kinds that a server knows, found by their path in the API. */
export class Catalog {
  readonly kinds: readonly KindDeclaration[];
  readonly #byPath = new Map<string, KindDeclaration>();
  readonly #byKind = new Map<string, KindDeclaration>();
  readonly #groupVersions = new Set<string>();

  constructor(kinds: readonly KindDeclaration[]) {
    this.kinds = kinds;
    for (const kind of kinds) {
      this.#byPath.set(`${kind.group}/${kind.version}/${kind.resource}`, kind);
      this.#byKind.set(`${groupVersionOf(kind)}/${kind.kind}`, kind);
      this.#groupVersions.add(`${kind.group}/${kind.version}`);
    }
  }

  find(group: string, version: string, resource: string): KindDeclaration | undefined {
    return this.#byPath.get(`${group}/${version}/${resource}`);
  }

  /** By `apiVersion` and `kind` of an object. */
  ofObject(apiVersion: string, kind: string): KindDeclaration | undefined {
    return this.#byKind.get(`${apiVersion}/${kind}`);
  }

  hasGroupVersion(group: string, version: string): boolean {
    return this.#groupVersions.has(`${group}/${version}`);
  }

  /** The declaration under which objects of this kind are stored. */
  storageOf(kind: KindDeclaration): KindDeclaration {
    if (kind.view === undefined) return kind;
    const { group, version, resource } = kind.view.of;
    return this.find(group, version, resource) ?? kind;
  }
}

/** `v1` or `apps/v1`. */
export function groupVersionOf(kind: { readonly group: string; readonly version: string }): string {
  return kind.group === '' ? kind.version : `${kind.group}/${kind.version}`;
}

/** Whether objects of this kind are kept at all; reviews and bindings are only ever created. */
export function isStored(kind: KindDeclaration): boolean {
  return kind.verbs === undefined || kind.verbs.includes('get') || kind.verbs.includes('list');
}
