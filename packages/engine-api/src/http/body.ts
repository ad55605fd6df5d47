import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { looksLikeGoJson, WherryError } from '@wherry/base';
import type { JsonObject } from '@wherry/docker';

/** No JSON body of the API is longer: a seccomp profile within one has some 20 KiB. */
const largestBody = 8 * 1024 * 1024;

export interface BodyOptions {
  /** An empty body is refused; otherwise it is `{}`. */
  readonly required?: boolean;
  /** What messages name the whole by. */
  readonly type?: string;
}

/** Reads a JSON object. Throws `invalid` or `tooLarge` in dockerd's words. */
export async function readJsonBody(
  request: IncomingMessage,
  body: Readable,
  { required = false, type = 'object' }: BodyOptions = {},
): Promise<JsonObject> {
  const empty = isEmpty(request);
  if (!empty || request.headers['content-type'] !== undefined) requireJson(request.headers['content-type'] ?? '');
  const text = empty ? '' : await readText(body, largestBody);
  if (text === '') {
    if (!required) return {};
    throw new WherryError('invalid', 'invalid JSON: got EOF while reading request body');
  }
  const value = parseBody(text);
  if (value === null) return {};
  if (typeof value !== 'object' || Array.isArray(value)) {
    throw new WherryError(
      'invalid',
      `invalid JSON: json: cannot unmarshal ${kindOf(value)} into Go value of type ${type}`,
    );
  }
  return value as JsonObject;
}

function parseBody(text: string): unknown {
  const looked = looksLikeGoJson(text);
  if (looked.finding === undefined) return looked.value;
  if (looked.finding === 'trailing') throw new WherryError('invalid', 'unexpected content after JSON');
  const words = { empty: 'got EOF while reading request body', cut: 'unexpected EOF' };
  const message = looked.finding === 'wrong' ? looked.message : words[looked.finding];
  throw new WherryError('invalid', `invalid JSON: ${message}`);
}

/** Whether a request announces no body. */
export function isEmpty({ headers }: IncomingMessage): boolean {
  const length = headers['content-length'];
  return length === undefined ? headers['transfer-encoding'] === undefined : length === '0';
}

function requireJson(contentType: string): void {
  const type = contentType.split(';')[0]!.trim().toLowerCase();
  if (type === '')
    throw new WherryError('invalid', `malformed Content-Type header (${contentType}): mime: no media type`);
  const wrong = /^[^/]*[^a-z0-9!#$%&'*+.^_`|~/-]/.test(type) || !type.includes('/');
  if (wrong) {
    const why = /^[a-z0-9!#$%&'*+.^_`|~-]+$/.test(type) ? undefined : 'mime: expected slash after first token';
    if (why !== undefined) throw new WherryError('invalid', `malformed Content-Type header (${contentType}): ${why}`);
  }
  if (type !== 'application/json') {
    throw new WherryError('invalid', `unsupported Content-Type header (${contentType}): must be 'application/json'`);
  }
}

/** The whole of a body as text. Throws `tooLarge`. */
export async function readText(body: Readable, limit: number): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > limit) throw new WherryError('tooLarge', `request body is larger than ${limit} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** What Go's encoding/json calls a value. */
export function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  return typeof value === 'boolean' ? 'bool' : typeof value;
}
