/** What the path and method of a request mean (apiserver `RequestInfo`). */
export type RequestInfo =
  | {
      readonly resourceRequest: true;
      readonly group: string;
      readonly version: string;
      readonly resource: string;
      readonly namespace: string;
      readonly name: string;
      readonly subresource: string;
      /** What follows the subresource (`proxy/any/path`), with its leading slash; '' without. */
      readonly rest: string;
    }
  | { readonly resourceRequest: false };

const other: RequestInfo = { resourceRequest: false };

/** Subresources of a namespace; anything else below `/namespaces/x/` is a resource in it. */
const ofNamespace = new Set(['status', 'finalize']);

/** Reads `/api/v1/…` and `/apis/GROUP/VERSION/…`. Error: malformed escapes are no resource request. */
export function requestInfo(path: string): RequestInfo {
  const parts = path.split('/');
  let at: number;
  let group = '';
  if (parts[1] === 'api') at = 2;
  else if (parts[1] === 'apis') {
    group = parts[2] ?? '';
    at = 3;
  } else return other;
  const version = parts[at];
  if (!version || !parts[at + 1]) return other;
  at++;
  if (parts[at] === 'watch' && parts[at + 1]) at++;
  let namespace = '';
  if (parts[at] === 'namespaces' && parts[at + 2] && !ofNamespace.has(parts[at + 2]!)) {
    namespace = parts[at + 1]!;
    at += 2;
  }
  const resource = parts[at]!;
  const name = parts[at + 1] ?? '';
  // A namespace counts as within itself, so that roles in it may let somebody see it.
  if (resource === 'namespaces' && group === '') namespace = name;
  const subresource = parts[at + 2] ?? '';
  const rest = parts.length > at + 3 ? `/${parts.slice(at + 3).join('/')}` : '';
  try {
    return {
      resourceRequest: true,
      group,
      version,
      resource,
      namespace: unescaped(namespace),
      name: unescaped(name),
      subresource,
      rest,
    };
  } catch {
    return other;
  }
}

function unescaped(part: string): string {
  return part.includes('%') ? decodeURIComponent(part) : part;
}

/** Whether the path is one of the deprecated `/watch/` forms. */
export function isWatchPath(path: string): boolean {
  const parts = path.split('/');
  return parts[1] === 'api' ? parts[3] === 'watch' : parts[1] === 'apis' && parts[4] === 'watch';
}
