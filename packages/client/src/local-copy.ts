import type { KubeObject } from './client.ts';
import type { Change } from './informer-contract.ts';
import { freezeDeep, keyOf } from './objects.ts';

type IndexFunction<T> = (object: T) => readonly string[];

interface Index<T> {
  readonly of: IndexFunction<T>;
  readonly values: Map<string, Map<string, T>>;
}

/** The objects that an informer holds, with its indexes. `emit` is called after each change took effect. */
export class LocalCopy<T extends KubeObject> {
  readonly #objects = new Map<string, T>();
  readonly #indexes = new Map<string, Index<T>>();
  readonly #emit: (change: Change<T>) => void;
  #list: readonly T[] | undefined;

  constructor(emit: (change: Change<T>) => void) {
    this.#emit = emit;
  }

  /** Adds an index and fills it; the first function given for a name stays. */
  addIndex(name: string, of: IndexFunction<T>): void {
    if (this.#indexes.has(name)) return;
    const index: Index<T> = { of, values: new Map() };
    this.#indexes.set(name, index);
    for (const [key, object] of this.#objects) enter(index, key, object);
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  list(): readonly T[] {
    this.#list ??= [...this.#objects.values()];
    return this.#list;
  }

  byIndex(name: string, value: string): readonly T[] {
    const index = this.#indexes.get(name);
    if (index === undefined) throw new Error(`the informer has no index ${name}`);
    const found = index.values.get(value);
    return found === undefined ? [] : [...found.values()];
  }

  put(object: T): void {
    freezeDeep(object);
    const key = keyOf(object);
    const previous = this.#objects.get(key);
    if (previous !== undefined) this.#leave(key, previous);
    this.#objects.set(key, object);
    this.#list = undefined;
    for (const index of this.#indexes.values()) enter(index, key, object);
    this.#emit(previous === undefined ? { type: 'added', object } : { type: 'updated', object, previous });
  }

  remove(object: T): void {
    const key = keyOf(object);
    const previous = this.#objects.get(key);
    if (previous === undefined) return;
    this.#objects.delete(key);
    this.#list = undefined;
    this.#leave(key, previous);
    this.#emit({ type: 'deleted', object: freezeDeep(object) });
  }

  /** Takes a whole list over: what is missing in it was deleted meanwhile; what has the same version is not touched. */
  replace(items: readonly T[]): void {
    const present = new Set(items.map(keyOf));
    for (const [key, object] of [...this.#objects]) if (!present.has(key)) this.remove(object);
    for (const item of items) {
      const old = this.#objects.get(keyOf(item));
      const same =
        old?.metadata?.resourceVersion === item.metadata?.resourceVersion && old?.metadata?.uid === item.metadata?.uid;
      if (old === undefined || !same) {
        // A successor of the same name is another object: handlers see the old one go.
        if (old !== undefined && old.metadata?.uid !== item.metadata?.uid) this.remove(old);
        this.put(item);
      }
    }
  }

  #leave(key: string, object: T): void {
    for (const { of, values } of this.#indexes.values())
      for (const value of of(object)) {
        const entries = values.get(value);
        entries?.delete(key);
        if (entries?.size === 0) values.delete(value);
      }
  }
}

function enter<T>(index: Index<T>, key: string, object: T): void {
  for (const value of index.of(object)) {
    const entries = index.values.get(value);
    if (entries) entries.set(key, object);
    else index.values.set(value, new Map([[key, object]]));
  }
}
