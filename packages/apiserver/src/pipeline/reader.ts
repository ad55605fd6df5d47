import type { Clock } from '@wherry/base';
import type { CacheReader } from '../options.ts';
import type { Registry } from '../registry/registry.ts';

/** Lookups in the server's own cache, for admission, authorisation and the special subresources. */
export function createReader(registry: Registry, clock: Clock): CacheReader {
  const cacheOf = (of: { readonly group: string; readonly resource: string }) =>
    registry.caches.get(of.group === '' ? `${of.resource}/` : `${of.group}/${of.resource}/`);
  return {
    get: (of, namespace, name) => cacheOf(of)?.get(namespace === '' ? name : `${namespace}/${name}`)?.object,
    list: (of, namespace) =>
      cacheOf(of)
        ?.range(namespace)
        .map((stored) => stored.object) ?? [],
    generation: (of) => cacheOf(of)?.lastChange ?? 0,
    now: () => clock.now(),
  };
}
