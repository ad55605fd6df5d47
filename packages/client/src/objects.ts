import type { KubeObject } from './client.ts';

/** Freezes plain JSON all the way down; an object that is frozen at the top is taken to be frozen whole. */
export function freezeDeep<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  for (const child of Object.values(value)) freezeDeep(child);
  return Object.freeze(value);
}

/** A copy of plain JSON that may be changed; `undefined` members are dropped. */
export function draftOf<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(draftOf) as T;
  const copy: Record<string, unknown> = {};
  for (const [key, child] of Object.entries(value)) if (child !== undefined) copy[key] = draftOf(child);
  return copy as T;
}

/** Whether two JSON values are the same; a member that is `undefined` equals one that is not there. */
export function equalJson(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null) return false;
  if (Array.isArray(left) || Array.isArray(right)) {
    if (!Array.isArray(left) || !Array.isArray(right) || left.length !== right.length) return false;
    return left.every((item, index) => equalJson(item, right[index]));
  }
  const other = right as Record<string, unknown>;
  for (const [key, value] of Object.entries(left)) if (!equalJson(value, other[key])) return false;
  const own = left as Record<string, unknown>;
  for (const key of Object.keys(other)) if (other[key] !== undefined && own[key] === undefined) return false;
  return true;
}

/** `namespace/name`, or `name` for cluster-scoped objects: the key of informers and work queues. */
export function keyOf(object: KubeObject): string {
  const { namespace, name } = object.metadata ?? {};
  return namespace ? `${namespace}/${name ?? ''}` : (name ?? '');
}

/** The namespace and name that a key of `keyOf` stands for. */
export function splitKey(key: string): { readonly namespace: string | undefined; readonly name: string } {
  const slash = key.indexOf('/');
  return slash < 0
    ? { namespace: undefined, name: key }
    : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

/** Milliseconds since the epoch of an RFC 3339 time; `undefined` when there is none or it does not parse. */
export function millisOf(text: string | undefined | null): number | undefined {
  if (!text) return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}
