import type { KubeObject } from './client.ts';

export { copyJson as draftOf, equalJson, freezeJson as freezeDeep } from '@wherry/base';

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
