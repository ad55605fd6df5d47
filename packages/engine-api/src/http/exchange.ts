import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import type { Logger } from '@wherry/base';
import type { JsonObject } from '@wherry/docker';
import type { ApiVersion } from './api-version.ts';
import { type BodyOptions, readJsonBody } from './body.ts';
import { drained } from './drained.ts';
import { encodeJson } from './encode-json.ts';
import type { HijackableSocket } from './hijackable-requests.ts';
import { JsonLines } from './json-lines.ts';
import type { Query } from './query.ts';

export interface ExchangeParts {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly body: Readable;
  readonly parameters: Readonly<Record<string, string>>;
  readonly query: Query;
  readonly version: ApiVersion;
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** Only of routes that leave HTTP. */
  readonly hijackable: HijackableSocket | undefined;
}

/** One request with its answer. */
export class Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The request's body, framing removed. */
  readonly body: Readable;
  readonly query: Query;
  readonly log: Logger;
  /** Fires when the client is gone before the answer is at its end, and when the server stops. */
  readonly signal: AbortSignal;
  readonly hijackable: HijackableSocket | undefined;
  readonly #parameters: Readonly<Record<string, string>>;
  readonly #version: ApiVersion;

  constructor(parts: ExchangeParts) {
    this.request = parts.request;
    this.response = parts.response;
    this.body = parts.body;
    this.query = parts.query;
    this.log = parts.log;
    this.signal = parts.signal;
    this.hijackable = parts.hijackable;
    this.#parameters = parts.parameters;
    this.#version = parts.version;
  }

  /** A parameter of the path. */
  parameter(name: string): string {
    return this.#parameters[name] ?? '';
  }

  /** Whether the client speaks 1.`minor` or newer. */
  speaks(minor: number): boolean {
    return this.#version.number >= 1000 + minor;
  }

  get version(): string {
    return this.#version.text;
  }

  /** The body, which must be a JSON object. Throws `invalid` in dockerd's words. */
  async json(options?: BodyOptions): Promise<JsonObject> {
    return await readJsonBody(this.request, this.body, options);
  }

  /** Answers with JSON, ended by a line feed as Go's encoder does. */
  send(status: number, value: unknown): void {
    const text = `${encodeJson(value)}\n`;
    this.response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) });
    this.response.end(text);
  }

  /** Answers without a body: 200, 201, 204, 304. */
  sendNothing(status = 204): void {
    if (status === 204 || status === 304) this.response.writeHead(status);
    else this.response.writeHead(status, { 'Content-Length': 0 });
    this.response.end();
  }

  /** Answers with JSON values one after the other. `newline`: `\r\n` where dockerd's progress ends its lines so. */
  lines(newline: '\n' | '\r\n' = '\n'): JsonLines {
    return new JsonLines(this.response, newline);
  }

  /** Answers 200 with a stream of bytes. Resolves when all is written, or the client is gone. */
  async stream(
    contentType: string,
    source: AsyncIterable<Uint8Array>,
    headers: Record<string, string> = {},
  ): Promise<void> {
    const { response } = this;
    response.writeHead(200, { ...headers, 'Content-Type': contentType });
    response.flushHeaders();
    try {
      for await (const chunk of source) {
        if (this.signal.aborted || response.destroyed) return;
        if (!response.write(chunk)) await drained(response);
      }
      response.end();
    } catch (error) {
      // The status is sent: only an answer cut short tells the client.
      response.destroy();
      throw error;
    }
  }
}

/** The same stream, whose first piece is here: what fails before it can still have its status. */
export async function primed<T>(source: AsyncIterable<T>): Promise<AsyncIterable<T>> {
  const iterator = source[Symbol.asyncIterator]();
  const first = await iterator.next();
  return (async function* () {
    try {
      if (first.done === true) return;
      yield first.value;
      yield* { [Symbol.asyncIterator]: () => iterator };
    } finally {
      await iterator.return?.();
    }
  })();
}
