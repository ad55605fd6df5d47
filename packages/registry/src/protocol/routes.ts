import { methodNotAllowed } from './exchange.ts';

/** What a path of the API asks for; names and references as they came, unchecked. */
export type Route =
  | { readonly kind: 'base' }
  | { readonly kind: 'catalog' }
  | { readonly kind: 'tags'; readonly name: string }
  | { readonly kind: 'manifest' | 'blob' | 'referrers'; readonly name: string; readonly reference: string }
  | { readonly kind: 'uploads'; readonly name: string }
  | { readonly kind: 'upload'; readonly name: string; readonly id: string };

const methods: Readonly<Record<Route['kind'], readonly string[]>> = {
  base: ['GET', 'HEAD'],
  catalog: ['GET', 'HEAD'],
  tags: ['GET', 'HEAD'],
  manifest: ['GET', 'HEAD', 'PUT', 'DELETE'],
  blob: ['GET', 'HEAD', 'DELETE'],
  referrers: ['GET', 'HEAD'],
  uploads: ['POST'],
  upload: ['GET', 'HEAD', 'PATCH', 'PUT', 'DELETE'],
};

/**
 * Finds the route of a path beneath `/v2/` (distribution-spec 1.1, "Endpoints"); `undefined` where there is none.
 * A name may hold `tags`, `blobs` and the like as its parts, so that the end of the path decides.
 */
export function routeOf(path: string): Route | undefined {
  if (path === '/v2/' || path === '/v2') return { kind: 'base' };
  const decoded = decode(path);
  if (!decoded?.startsWith('/v2/')) return undefined;
  const rest = decoded.slice(4);
  if (rest === '_catalog') return { kind: 'catalog' };
  const found =
    /^(?<name>.+)\/(?:(?<tags>tags\/list)|blobs\/(?<uploads>uploads\/?)|blobs\/uploads\/(?<id>[^/]+)|(?<kind>manifests|blobs|referrers)\/(?<reference>[^/]+))$/s.exec(
      rest,
    )?.groups;
  if (!found) return undefined;
  const name = found.name!;
  if (found.tags !== undefined) return { kind: 'tags', name };
  if (found.uploads !== undefined) return { kind: 'uploads', name };
  if (found.id !== undefined) return { kind: 'upload', name, id: found.id };
  const kind = found.kind === 'manifests' ? 'manifest' : found.kind === 'blobs' ? 'blob' : 'referrers';
  return { kind, name, reference: found.reference! };
}

/** All methods that a kind of route has. */
export function methodsOf(kind: Route['kind']): readonly string[] {
  return methods[kind];
}

/** Throws UNSUPPORTED (405) for a method that the route does not have. */
export function checkMethod(route: Route, method: string): void {
  if (!methods[route.kind].includes(method)) throw methodNotAllowed(methods[route.kind]);
}

function decode(path: string): string | undefined {
  try {
    return path.includes('%') ? decodeURIComponent(path) : path;
  } catch {
    return undefined;
  }
}
