export interface Challenge {
  readonly scheme: string;
  readonly parameters: ReadonlyMap<string, string>;
}

/** The first challenge of a `WWW-Authenticate` (RFC 9110, 11.6.1). */
export function parseChallenge(header: string): Challenge | undefined {
  const scheme = /^\s*([A-Za-z]+)(?:\s+|$)/.exec(header);
  if (!scheme || header.length > 8192) return undefined;
  const parameters = new Map<string, string>();
  const pattern = /([A-Za-z0-9_-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/g;
  for (const [, name, quoted, plain] of header.slice(scheme[0].length).matchAll(pattern)) {
    parameters.set(name!.toLowerCase(), quoted === undefined ? plain! : quoted.replace(/\\(.)/g, '$1'));
  }
  return { scheme: scheme[1]!.toLowerCase(), parameters };
}
