import { WherryError } from '@wherry/base';
import { type FieldSchema, type ObjectSchema, objectSchemaOf, schemaOf, type ValueSchema } from '../schema/index.ts';
import { elementOrder } from './element-order.ts';
import { getOwn, isObject, sameJson, setOwn, shallowCopy } from './merge-patch.ts';

type Json = Record<string, unknown>;

const directive = '$patch';
const retainKeys = '$retainKeys';
const deletePrefix = '$deleteFromPrimitiveList/';
const orderPrefix = '$setElementOrder/';

function fail(message: string): never {
  throw new WherryError('invalid', message);
}

/** What merging must know of a value: the struct it is, or its list's items. */
interface Context {
  readonly schema: ObjectSchema | undefined;
  /** For maps of structs: what each value is. */
  readonly values: ValueSchema | undefined;
}

function contextOf(type: ValueSchema | undefined): Context {
  return { schema: objectSchemaOf(type), values: type?.kind === 'map' ? type.values : undefined };
}

interface Child {
  readonly field: FieldSchema | undefined;
  readonly type: ValueSchema | undefined;
}

function childOf(context: Context, key: string): Child {
  const field = context.schema?.fields.get(key);
  return { field, type: field?.type ?? context.values };
}

function merges(field: FieldSchema | undefined): boolean {
  return field?.patchStrategies.includes('merge') ?? false;
}

/** A value that is new in the object: its directives and nulls mean nothing. */
function withoutDirectives(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value
      .filter((item) => !(isObject(item) && getOwn(item, directive) !== undefined && item[directive] !== 'merge'))
      .map(withoutDirectives);
  }
  if (!isObject(value)) return value;
  const result: Json = {};
  for (const key of Object.keys(value)) {
    if (key === directive || key === retainKeys || key.startsWith(orderPrefix) || key.startsWith(deletePrefix))
      continue;
    if (value[key] !== null) setOwn(result, key, withoutDirectives(value[key]));
  }
  return result;
}

function applyRetainKeys(result: Json, patch: Json): void {
  const keys = getOwn(patch, retainKeys);
  if (keys === undefined) return;
  if (!Array.isArray(keys) || keys.some((k) => typeof k !== 'string')) fail(`invalid patch format of ${retainKeys}`);
  const kept = new Set(keys as string[]);
  for (const key of Object.keys(patch)) {
    if (!key.startsWith('$') && patch[key] !== null && !kept.has(key))
      fail(`${retainKeys} list doesn't contain all the fields in the patch: ${key}`);
  }
  for (const key of Object.keys(result)) if (!kept.has(key)) delete result[key];
}

function mergeObject(original: Json, patch: Json, context: Context): Json {
  const how = getOwn(patch, directive);
  if (how === 'replace') return withoutDirectives(patch) as Json;
  if (how === 'delete') return {};
  if (how !== undefined && how !== 'merge') fail(`unknown patch type found: ${JSON.stringify(how)}`);
  const result = shallowCopy(original);
  applyRetainKeys(result, patch);
  for (const key of Object.keys(patch)) {
    if (key.startsWith(deletePrefix)) removePrimitives(result, key.slice(deletePrefix.length), patch[key]);
  }
  for (const key of Object.keys(patch)) {
    if (key === directive || key === retainKeys || key.startsWith(deletePrefix) || key.startsWith(orderPrefix))
      continue;
    mergeField(result, key, patch[key], childOf(context, key));
  }
  for (const key of Object.keys(patch)) {
    if (!key.startsWith(orderPrefix)) continue;
    const name = key.slice(orderPrefix.length);
    orderList(result, name, patch[key], getOwn(original, name), childOf(context, name).field);
  }
  return result;
}

function mergeField(result: Json, key: string, value: unknown, { field, type }: Child): void {
  const old = getOwn(result, key);
  if (value === null) delete result[key];
  else if (isObject(value) && isObject(old)) {
    const merged = field?.patchStrategies.includes('replace')
      ? withoutDirectives(value)
      : mergeObject(old, value, contextOf(type));
    if (getOwn(value, directive) === 'delete') delete result[key];
    else setOwn(result, key, merged);
  } else if (Array.isArray(value) && Array.isArray(old) && merges(field)) {
    setOwn(result, key, mergeList(old, value, field!));
  } else if (isObject(value) && getOwn(value, directive) === 'delete') delete result[key];
  else setOwn(result, key, withoutDirectives(value));
}

function removePrimitives(result: Json, key: string, values: unknown): void {
  const list = getOwn(result, key);
  if (!Array.isArray(values)) fail(`invalid patch format of ${deletePrefix}${key}`);
  if (Array.isArray(list)) result[key] = list.filter((item) => !values.includes(item));
}

function keyOf(item: unknown, mergeKey: string): unknown {
  const value = isObject(item) ? getOwn(item, mergeKey) : undefined;
  if (value === undefined) fail(`map: ${JSON.stringify(item)} does not contain declared merge key: ${mergeKey}`);
  return value;
}

function mergeList(original: readonly unknown[], patch: readonly unknown[], field: FieldSchema): unknown[] {
  const mergeKey = field.patchMergeKey;
  if (mergeKey === undefined) {
    const items = [...original];
    for (const item of patch) if (!items.some((known) => sameJson(known, item))) items.push(item);
    return items;
  }
  const context = contextOf(field.type.kind === 'list' ? field.type.items : undefined);
  let items = [...original];
  const changes: Json[] = [];
  for (const item of patch) {
    if (!isObject(item)) fail(`expected maps in the list ${field.name}, found ${JSON.stringify(item)}`);
    const how = getOwn(item, directive);
    if (how === 'replace') items = [];
    else if (how === 'delete') {
      const key = keyOf(item, mergeKey);
      items = items.filter((known) => !(isObject(known) && sameJson(known[mergeKey], key)));
      continue;
    } else if (how !== undefined && how !== 'merge') fail(`unknown patch type found: ${JSON.stringify(how)}`);
    const { [directive]: _, ...rest } = item;
    if (how !== 'replace' || Object.keys(rest).length > 0) changes.push(rest);
  }
  for (const change of changes) {
    const key = keyOf(change, mergeKey);
    const at = items.findIndex((known) => isObject(known) && sameJson(known[mergeKey], key));
    if (at < 0) items.push(withoutDirectives(change));
    else items[at] = mergeObject(items[at] as Json, change, context);
  }
  return items;
}

function orderList(result: Json, key: string, order: unknown, live: unknown, field: FieldSchema | undefined): void {
  const list = getOwn(result, key);
  if (!Array.isArray(order)) fail(`invalid patch format of ${orderPrefix}${key}`);
  if (!Array.isArray(list)) return;
  const mergeKey = field?.patchMergeKey;
  const idOf = (item: unknown): string => JSON.stringify(mergeKey === undefined ? item : keyOf(item, mergeKey));
  // Several items may share a merge key (ports that differ in their protocol): they stay together.
  const items = new Map<string, unknown[]>();
  for (const item of list) {
    const id = idOf(item);
    const same = items.get(id);
    if (same) same.push(item);
    else items.set(id, [item]);
  }
  const liveOrder = [...new Set((Array.isArray(live) ? live : []).map(idOf))];
  const wanted = [...new Set(order.map(idOf))];
  result[key] = elementOrder([...items.keys()], wanted, liveOrder).flatMap((id) => items.get(id)!);
}

/**
 * The result of a strategic merge patch on an object of a generated type (`V1Pod`): merge keys,
 * `$patch`, `$retainKeys`, `$deleteFromPrimitiveList/…`, `$setElementOrder/…` (API conventions,
 * "Strategic Merge Patch"). Neither argument is changed; parts are shared. Error `invalid`.
 */
export function applyStrategicMergePatch(original: unknown, patch: unknown, schemaName: string): unknown {
  if (!isObject(patch)) fail('error decoding patch: a strategic merge patch must be an object');
  return mergeObject(isObject(original) ? original : {}, patch, { schema: schemaOf(schemaName), values: undefined });
}
