import type { ServerResponse } from 'node:http';
import { messageOf } from '@wherry/base';
import { drained } from './drained.ts';
import { encodeJson } from './encode-json.ts';

/** An answer of JSON values, one a line. The first one sends the headers (200), so a failure before it has its status. */
export class JsonLines {
  readonly #response: ServerResponse;
  readonly #newline: string;

  constructor(response: ServerResponse, newline: string) {
    this.#response = response;
    this.#newline = newline;
  }

  get begun(): boolean {
    return this.#response.headersSent;
  }

  /** The client reads more slowly than there is to say: what may be left out should be. */
  get congested(): boolean {
    return this.#response.writableNeedDrain;
  }

  /** Sends the headers now. */
  begin(): void {
    if (this.#head()) this.#response.flushHeaders();
  }

  write(value: unknown): void {
    if (this.#response.destroyed || this.#response.writableEnded) return;
    this.#head();
    this.#response.write(encodeJson(value) + this.#newline);
  }

  /** Writes and waits until there is room for more. */
  async writeAll(values: AsyncIterable<unknown>, signal: AbortSignal): Promise<void> {
    for await (const value of values) {
      if (signal.aborted) return;
      this.write(value);
      if (this.congested) await drained(this.#response);
    }
  }

  /** Ends with a failure as progress tells it. Before the first line, throws it instead: it has a status then. */
  fail(error: unknown): void {
    if (!this.begun) throw error;
    const message = messageOf(error);
    this.write({ errorDetail: { message }, error: message });
    this.end();
  }

  end(): void {
    this.#head();
    this.#response.end();
  }

  #head(): boolean {
    if (this.#response.headersSent) return false;
    this.#response.writeHead(200, { 'Content-Type': 'application/json' });
    return true;
  }
}
