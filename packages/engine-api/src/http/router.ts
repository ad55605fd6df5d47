import type { Exchange } from './exchange.ts';

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';

/** One call of the API. */
export interface Route {
  readonly method: Method;
  /** `/containers/{name:.*}/json`: a parameter without a pattern has no slash in it. */
  readonly path: string;
  /** Answers, or throws what `statusOf` and its message make an answer of. */
  readonly handle: (exchange: Exchange) => Promise<void> | void;
}

export interface RouteMatch {
  readonly route: Route;
  readonly parameters: Readonly<Record<string, string>>;
  /** `1.45` of `/v1.45/…`. */
  readonly version: string | undefined;
}

interface CompiledRoute {
  readonly route: Route;
  readonly pattern: RegExp;
}

/**
 * Finds the route of a path. Names of images and plug-ins have slashes in the midst of a path
 * (`/images/quay.io/a/b:1/json`), which no radix tree of segments takes: patterns, by method and first segment.
 */
export class Router {
  readonly #routes = new Map<string, CompiledRoute[]>();

  constructor(routes: readonly Route[]) {
    for (const route of routes) {
      const key = keyOf(route.method, route.path);
      const compiled = { route, pattern: compile(route.path) };
      const others = this.#routes.get(key);
      if (others) others.push(compiled);
      else this.#routes.set(key, [compiled]);
    }
  }

  /** `path`: as it stands in the request, without query. `undefined`: there is no such page. */
  find(method: string, path: string): RouteMatch | undefined {
    const decoded = decode(path);
    if (decoded === undefined) return undefined;
    const versioned = /^\/v([0-9.]+)(\/.*)$/s.exec(decoded);
    const rest = versioned?.[2] ?? decoded;
    for (const { route, pattern } of this.#routes.get(keyOf(method, rest)) ?? []) {
      const found = pattern.exec(rest);
      if (found) return { route, parameters: { ...found.groups }, version: versioned?.[1] };
    }
    return undefined;
  }
}

function keyOf(method: string, path: string): string {
  const end = path.indexOf('/', 1);
  return `${method} ${end < 0 ? path : path.slice(0, end)}`;
}

function compile(path: string): RegExp {
  const source = path
    .split(/(\{[^}]*\})/)
    .map((part) => {
      const parameter = /^\{(\w+)(?::(.*))?\}$/.exec(part);
      return parameter ? `(?<${parameter[1]}>${parameter[2] ?? '[^/]+'})` : part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
    })
    .join('');
  return new RegExp(`^${source}$`, 's');
}

function decode(path: string): string | undefined {
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}
