import { elementOrder } from '../patch/element-order.ts';
import { getOwn, isObject, sameJson, setOwn, shallowCopy } from '../patch/merge-patch.ts';
import { type FieldSchema, type ObjectSchema, objectSchemaOf, schemaOf, type ValueSchema } from '../schema/index.ts';
import { childSet, emptySet, type FieldSet } from './field-set.ts';

type Json = Record<string, unknown>;

/** What decides how a value is owned and merged: its type, and the field that holds it. */
export interface Typed {
  readonly type: ValueSchema | undefined;
  readonly field: FieldSchema | undefined;
}

/** The root object of a generated type. */
export function rootType(schemaName: string): Typed {
  return { type: schemaOf(schemaName) ? { kind: 'object', name: schemaName } : undefined, field: undefined };
}

/** How a value is divided into owned parts. */
type Division = 'leaf' | 'fields' | 'keyed' | 'values';

function division(value: unknown, at: Typed): Division {
  if (Array.isArray(value)) {
    if (at.field?.listType === 'map') return 'keyed';
    return at.field?.listType === 'set' ? 'values' : 'leaf';
  }
  if (!isObject(value)) return 'leaf';
  const kind = at.type?.kind;
  if (at.field?.mapType === 'granular') return 'fields';
  if (at.field?.mapType === 'atomic' || kind === 'any') return 'leaf';
  return objectSchemaOf(at.type)?.atomic ? 'leaf' : 'fields';
}

/** The type of a field of an object (or of a map's value, or of anything in an untyped object). */
export function fieldType(at: Typed, key: string): Typed {
  const field = objectSchemaOf(at.type)?.fields.get(key);
  return { field, type: field?.type ?? (at.type?.kind === 'map' ? at.type.values : undefined) };
}

function itemType(at: Typed): Typed {
  return { field: undefined, type: at.type?.kind === 'list' ? at.type.items : undefined };
}

function keyDefault(schema: ObjectSchema | undefined, key: string): unknown {
  return schema?.fields.get(key)?.default ?? null;
}

/** The path element of an item in a keyed list: its keys in order of name. */
function itemElement(item: unknown, at: Typed): string {
  const schema = objectSchemaOf(itemType(at).type);
  const keys: Json = {};
  for (const key of [...at.field!.listMapKeys!].sort()) {
    const own = isObject(item) ? getOwn(item, key) : undefined;
    const value = own ?? keyDefault(schema, key);
    if (value !== null) keys[key] = value;
  }
  return `k:${JSON.stringify(keys)}`;
}

function elementOf(item: unknown, at: Typed): string {
  return at.field?.listType === 'map' ? itemElement(item, at) : `v:${JSON.stringify(item)}`;
}

/** Items of a keyed list or a set; several may have the same keys (environment variables), the first is the owned one. */
function itemsByElement(list: readonly unknown[], at: Typed): Map<string, unknown[]> {
  const found = new Map<string, unknown[]>();
  for (const item of list) {
    const element = elementOf(item, at);
    const same = found.get(element);
    if (same) same.push(item);
    else found.set(element, [item]);
  }
  return found;
}

/** The parts of a value with their path elements, or `undefined` for a leaf. */
export function partsOf(
  value: unknown,
  at: Typed,
): Map<string, { readonly value: unknown; readonly at: Typed }> | undefined {
  const parts = new Map<string, { readonly value: unknown; readonly at: Typed }>();
  switch (division(value, at)) {
    case 'leaf':
      return undefined;
    case 'fields':
      for (const key of Object.keys(value as Json)) {
        parts.set(`f:${key}`, { value: (value as Json)[key], at: fieldType(at, key) });
      }
      return parts;
    default:
      for (const [element, [first]] of itemsByElement(value as unknown[], at)) {
        parts.set(element, { value: first, at: itemType(at) });
      }
      return parts;
  }
}

/** The fields that a configuration sets: leaves and list items, not what merely contains them. */
export function setOf(value: unknown, at: Typed): FieldSet {
  const set = emptySet();
  const parts = partsOf(value, at);
  if (!parts || parts.size === 0) {
    set.member = true;
    return set;
  }
  for (const [element, part] of parts) {
    const child = setOf(part.value, part.at);
    if (!element.startsWith('f:')) child.member = true;
    set.children.set(element, child);
  }
  return set;
}

/** What differs between two values. */
export interface Changes {
  /** Paths that are new or have another value. */
  readonly set: FieldSet;
  /** Paths that are gone. */
  readonly removed: FieldSet;
}

/** Structs that exist even when nothing is in them own no path of their own. */
function isImplied(at: Typed): boolean {
  const { field } = at;
  if (!field) return false;
  if (field.required && (field.type.kind === 'object' || field.type.kind === 'list')) return true;
  return (
    field.type.kind === 'object' &&
    (field.always || field.name === 'metadata' || field.name === 'spec' || field.name === 'status')
  );
}

function addAll(value: unknown, at: Typed, into: FieldSet): void {
  const parts = partsOf(value, at);
  if (!parts || parts.size === 0 || !isImplied(at)) into.member = true;
  for (const [element, part] of parts ?? []) addAll(part.value, part.at, childSet(into, element));
}

function compareInto(before: unknown, after: unknown, at: Typed, set: FieldSet, removed: FieldSet): void {
  if (before === after) return;
  const old = before === undefined || before === null ? undefined : partsOf(before, at);
  const now = after === undefined || after === null ? undefined : partsOf(after, at);
  if (!old || !now) {
    if (after === undefined) addAll(before, at, removed);
    else if (before === undefined) addAll(after, at, set);
    else if (!sameJson(before, after)) {
      if (now) addAll(after, at, set);
      else set.member = true;
    }
    return;
  }
  for (const [element, part] of now) {
    const known = old.get(element);
    if (known?.value === part.value) continue;
    if (known) compareInto(known.value, part.value, part.at, childSet(set, element), childSet(removed, element));
    else addAll(part.value, part.at, childSet(set, element));
  }
  for (const [element, part] of old) {
    if (!now.has(element)) addAll(part.value, part.at, childSet(removed, element));
  }
}

/** What changed from one object to another. Parts that both share cost nothing. */
export function compareTyped(before: unknown, after: unknown, at: Typed): Changes {
  const set = emptySet();
  const removed = emptySet();
  compareInto(before, after, at, set, removed);
  return { set, removed };
}

/** Puts a configuration over a live value, item by item; neither is changed. */
export function mergeTyped(live: unknown, config: unknown, at: Typed): unknown {
  const how = division(config, at);
  if (live === undefined || live === null || how === 'leaf' || division(live, at) !== how) return config;
  if (how === 'fields') {
    const result = shallowCopy(live as Json);
    for (const key of Object.keys(config as Json)) {
      setOwn(result, key, mergeTyped(getOwn(result, key), (config as Json)[key], fieldType(at, key)));
    }
    return result;
  }
  const old = itemsByElement(live as unknown[], at);
  const wanted = partsOf(config, at)!;
  return elementOrder([...new Set([...old.keys(), ...wanted.keys()])], [...wanted.keys()], [...old.keys()]).flatMap(
    (element) => {
      const part = wanted.get(element);
      const known = old.get(element) ?? [];
      return part ? [mergeTyped(known[0], part.value, part.at)] : known;
    },
  );
}

/** Removes what is in `gone` (with all below it) unless something of it is in `kept`. */
export function pruneTyped(value: unknown, gone: FieldSet, kept: FieldSet, at: Typed): unknown {
  const parts = partsOf(value, at);
  if (!parts) return value;
  const lost = new Set<string>();
  const changed = new Map<string, unknown>();
  for (const [element, part] of parts) {
    const dropped = gone.children.get(element);
    const owned = kept.children.get(element);
    if (dropped && !owned) lost.add(element);
    else if (dropped && owned) {
      const left = pruneTyped(part.value, dropped, owned, part.at);
      if (left !== part.value) changed.set(element, left);
    }
  }
  if (lost.size === 0 && changed.size === 0) return value;
  if (Array.isArray(value)) {
    return [...itemsByElement(value, at)].flatMap(([element, items]) =>
      lost.has(element) ? [] : changed.has(element) ? [changed.get(element), ...items.slice(1)] : items,
    );
  }
  const result: Json = {};
  for (const [element, part] of parts) {
    if (!lost.has(element)) setOwn(result, element.slice(2), changed.has(element) ? changed.get(element) : part.value);
  }
  return result;
}
