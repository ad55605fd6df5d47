/** Path and query of what stands in a request's first line: mostly a path, for proxies a whole URL. */
export function pathOf(target: string): { readonly path: string; readonly query: string } {
  const url = target.replace(/^https?:\/\/[^/?]*/, '') || '/';
  const mark = url.indexOf('?');
  return mark < 0 ? { path: url, query: '' } : { path: url.slice(0, mark), query: url.slice(mark + 1) };
}

/**
 * The path without empty parts, `.` and `..` (Go's `path.Clean`, with a slash at its end kept), looked at with its
 * escapes taken for what they mean. The path itself when there is nothing to clean; `undefined` for wrong escapes.
 */
export function cleanPath(path: string): string | undefined {
  let decoded: string;
  try {
    decoded = decodeURIComponent(path);
  } catch {
    return undefined;
  }
  const parts: string[] = [];
  for (const part of decoded.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  const clean = `/${parts.join('/')}${parts.length > 0 && decoded.endsWith('/') ? '/' : ''}`;
  return clean === decoded ? path : encodeURI(clean);
}
