import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import type { Identity } from '../auth/identity.ts';
import { refusal, refusalOf } from '../refusal.ts';

export type HttpRequest = IncomingMessage | Http2ServerRequest;
export type HttpResponse = ServerResponse | Http2ServerResponse;

export type HeaderValue = string | number | readonly string[];

/** One request and its answer, of HTTP/1.1 or HTTP/2. */
export class Exchange {
  readonly request: HttpRequest;
  readonly response: HttpResponse;
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  /** Address of who asks. */
  readonly client: string | undefined;
  /** Who asks, once that is known. */
  identity: Identity = { user: undefined };
  /** What was asked for, for logs and metrics: one of a few words. */
  route = 'other';
  bytesSent = 0;
  bytesReceived = 0;
  readonly #closed: Promise<void>;

  constructor(request: HttpRequest, response: HttpResponse) {
    this.request = request;
    this.response = response;
    this.method = request.method ?? 'GET';
    const url = request.url ?? '/';
    const mark = url.indexOf('?');
    this.path = mark < 0 ? url : url.slice(0, mark);
    this.query = new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1));
    // A stream of HTTP/2 has no socket any more when it has ended.
    this.client = request.socket?.remoteAddress;
    this.#closed = new Promise((resolve) => response.once('close', resolve));
  }

  get isHead(): boolean {
    return this.method === 'HEAD';
  }

  /** Resolves when the answer has gone out, or its reader has. */
  get closed(): Promise<void> {
    return this.#closed;
  }

  header(name: string): string | undefined {
    const value = this.request.headers[name];
    return Array.isArray(value) ? value.join(', ') : value;
  }

  /** `https://host:port` as the client sees it. */
  get origin(): string {
    const scheme = 'encrypted' in this.request.socket && this.request.socket.encrypted ? 'https' : 'http';
    const host = this.header(':authority') ?? this.header('host') ?? 'localhost';
    return `${scheme}://${/^[\w.:[\]-]+$/.test(host) ? host : 'localhost'}`;
  }

  setHeader(name: string, value: HeaderValue): void {
    this.response.setHeader(name, value as string | number | string[]);
  }

  /** Answers with a status and a small body, or none. */
  send(status: number, headers: Readonly<Record<string, HeaderValue>> = {}, body: string | Buffer = ''): void {
    const { response } = this;
    if (response.headersSent || response.destroyed) return;
    response.statusCode = status;
    for (const [name, value] of Object.entries(headers)) this.setHeader(name, value);
    const length = Buffer.byteLength(body);
    if (status !== 204 && status !== 304 && !('Content-Length' in headers)) this.setHeader('Content-Length', length);
    if (this.isHead || length === 0) {
      this.end();
      return;
    }
    this.bytesSent += length;
    (response as ServerResponse).end(body);
  }

  /** Ends an answer without a body. */
  end(): void {
    (this.response as ServerResponse).end();
  }

  json(status: number, value: unknown, headers: Readonly<Record<string, HeaderValue>> = {}): void {
    this.send(status, { 'Content-Type': 'application/json; charset=utf-8', ...headers }, `${JSON.stringify(value)}\n`);
  }

  /** Tells the client of an error in the spec's form; where an answer is under way already, ends the connection. */
  fail(error: unknown): void {
    const told = refusalOf(error);
    if (this.response.headersSent) {
      this.response.destroy();
      return;
    }
    for (const name of ['Content-Range', 'Location', 'ETag']) this.response.removeHeader(name);
    const { code, message, detail } = told;
    this.json(told.status, { errors: [{ code, message, ...(detail !== undefined && { detail }) }] }, told.headers);
  }

  /** The body's chunks, counted; ends early with an error when the client goes. */
  async *body(): AsyncGenerator<Uint8Array> {
    for await (const chunk of this.request as AsyncIterable<Uint8Array>) {
      this.bytesReceived += chunk.length;
      yield chunk;
    }
  }

  /** A small body, whole. Throws what `tooLarge` makes when there is more. */
  async read(limit: number, tooLarge: () => Error): Promise<Buffer> {
    if (Number(this.header('content-length') ?? 0) > limit) throw tooLarge();
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of this.body()) {
      size += chunk.length;
      if (size > limit) throw tooLarge();
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }
}

/** For what a route does not know. */
export function methodNotAllowed(allowed: readonly string[]): Error {
  return refusal('UNSUPPORTED', 'The operation is unsupported.', { headers: { Allow: allowed.join(', ') } });
}
