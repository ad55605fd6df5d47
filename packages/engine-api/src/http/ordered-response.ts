import { type IncomingMessage, type OutgoingHttpHeader, type OutgoingHttpHeaders, ServerResponse } from 'node:http';

type Headers = OutgoingHttpHeaders | OutgoingHttpHeader[];

/**
 * An answer whose headers stand in the order in which dockerd's do: those that its handlers set, by their names, then
 * what Go's server adds, which are the date, the body's length, and a type that it guessed. Some compare whole answers.
 */
export class OrderedResponse<Request extends IncomingMessage = IncomingMessage> extends ServerResponse<Request> {
  override writeHead(status: number, reason?: string | Headers, more?: Headers): this {
    const given = typeof reason === 'object' ? reason : more;
    for (const [name, value] of entriesOf(given)) if (value !== undefined) this.setHeader(name, value);
    const all = this.getHeaderNames()
      .sort()
      .map((name) => [canonicalName(name), this.getHeader(name)!] as const);
    for (const [name] of all) this.removeHeader(name);
    const added = this.#added(all);
    const set = all.filter((header) => !added.includes(header));
    for (const [name, value] of [...set, ['Date', new Date().toUTCString()] as const, ...added])
      this.setHeader(name, value);
    return super.writeHead(status);
  }

  /** What describes a body; where there is none dockerd sets it itself. */
  #added<Header extends readonly [string, unknown]>(headers: readonly Header[]): readonly Header[] {
    const find = (wanted: string): Header[] => headers.filter(([name]) => name === wanted);
    if (this.req.method === 'HEAD' && find('Content-Length').every(([, length]) => Number(length) === 0)) return [];
    return [
      ...find('Content-Length'),
      ...find('Content-Type').filter(([, type]) => String(type).startsWith('text/plain')),
    ];
  }
}

/** Node's own answers, to requests without a host, have names and values one after the other. */
function entriesOf(headers: Headers | undefined): (readonly [string, OutgoingHttpHeader | undefined])[] {
  if (!Array.isArray(headers)) return Object.entries(headers ?? {});
  return headers.flatMap((name, at) => (at % 2 === 0 ? [[String(name), headers[at + 1]] as const] : []));
}

const canonicalNames = new Map<string, string>();

/** `api-version` as Go writes it: `Api-Version`. Of the names that answers have, which are few. */
export function canonicalName(name: string): string {
  let canonical = canonicalNames.get(name);
  if (canonical === undefined) {
    canonical = name.replace(/(^|-)([a-z])/g, (_, dash: string, letter: string) => dash + letter.toUpperCase());
    canonicalNames.set(name, canonical);
  }
  return canonical;
}
