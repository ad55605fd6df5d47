import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What a rule does with a request: answers it itself (true), or lets it through, cut off after some bytes of its body. */
export type Rule = (request: IncomingMessage, response: ServerResponse) => boolean | { readonly cutAfter: number };

/** Stands before a registry on loopback and spoils what it is told to. */
export class FaultyProxy implements AsyncDisposable {
  readonly seen: { readonly method: string; readonly url: string; readonly range: string | undefined }[] = [];
  rule: Rule = () => false;
  readonly #server: Server;

  private constructor(target: string) {
    this.#server = createServer((incoming, outgoing) => this.#forward(target, incoming, outgoing));
  }

  static async start(target: string): Promise<FaultyProxy> {
    const proxy = new FaultyProxy(target);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #forward(target: string, incoming: IncomingMessage, outgoing: ServerResponse): void {
    const { method = '', url = '' } = incoming;
    this.seen.push({ method, url, range: incoming.headers['content-range'] });
    const verdict = this.rule(incoming, outgoing);
    if (verdict === true) return;
    const cutAfter = verdict === false ? Number.POSITIVE_INFINITY : verdict.cutAfter;
    const { authorization: _, ...headers } = incoming.headers;
    const [hostname, port] = target.split(':');
    // The host of the request stays, so that locations lead back here.
    const onward = request({ hostname, port, method, path: incoming.url, headers, setHost: false }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(outgoing);
    });
    onward.on('error', () => outgoing.destroy());
    let count = 0;
    incoming.on('data', (chunk: Buffer) => {
      count += chunk.length;
      if (count > cutAfter) {
        onward.destroy();
        incoming.destroy();
      } else if (!onward.write(chunk)) {
        incoming.pause();
        onward.once('drain', () => incoming.resume());
      }
    });
    incoming.on('end', () => onward.end());
  }
}
