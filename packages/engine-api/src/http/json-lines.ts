import type { ServerResponse } from 'node:http';
import { messageOf } from '@wherry/base';
import { drained } from './drained.ts';
import { encodeStreamJson } from './encode-json.ts';

/** Characters that wait for others. */
const mostPending = 64 * 1024;

/**
 * An answer of JSON values, one a line. The first one sends the headers (200), so a failure before it has its status. Lines
 * that are written before anything else can happen go together.
 */
export class JsonLines {
  readonly #response: ServerResponse;
  readonly #newline: string;
  #pending = '';

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
    // The next tick is behind all promises that are settled by now.
    if (this.#pending === '') process.nextTick(() => this.#flush());
    this.#pending += encodeStreamJson(value) + this.#newline;
    if (this.#pending.length > mostPending) this.#flush();
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
    this.#response.end(this.#take());
  }

  #flush(): void {
    const text = this.#take();
    if (text !== '' && !this.#response.destroyed && !this.#response.writableEnded) this.#response.write(text);
  }

  #take(): string {
    const text = this.#pending;
    this.#pending = '';
    return text;
  }

  #head(): boolean {
    if (this.#response.headersSent) return false;
    this.#response.writeHead(200, { 'Content-Type': 'application/json' });
    return true;
  }
}
