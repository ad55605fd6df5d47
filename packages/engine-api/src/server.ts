import { setMaxListeners } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Readable } from 'node:stream';
import { type Logger, messageOf, systemRandom } from '@wherry/base';
import { hangUp } from '@wherry/http';
import { type ApiVersion, currentVersion, newestVersion, requestedVersion } from './http/api-version.ts';
import { encodeJson } from './http/encode-json.ts';
import { Exchange } from './http/exchange.ts';
import { HijackableRequest, type HijackableSocket, takeBody } from './http/hijackable-requests.ts';
import { OrderedResponse } from './http/ordered-response.ts';
import { Query } from './http/query.ts';
import { cleanPath, pathOf } from './http/request-path.ts';
import type { Router } from './http/router.ts';
import { SocketBody } from './http/socket-body.ts';
import { statusOf } from './http/statuses.ts';
import { hasLongBody } from './streams/hijacked-paths.ts';

/** Requests at a time: a follower of a log, an attach and a build are one each. */
const mostRequests = 4096;
const mostConnections = 8192;
/** Bytes of a request's head, as Go allows: names of hundreds of images to save, build arguments and logins are in it. */
const largestHead = 1024 * 1024;

/** How long a connection may stay on which nothing is asked (ms): as dockerd, clients keep theirs. */
const idleTime = 600_000;

export interface ApiServerParts {
  readonly router: Router;
  /** `Wherry/0.1.0 (linux)`. */
  readonly serverName: string;
  readonly log: Logger;
  readonly onClient?: (() => void) | undefined;
}

/** Turns HTTP requests into exchanges, and whatever is thrown into answers. */
export class ApiServer {
  readonly server: Server;
  readonly #parts: ApiServerParts;
  readonly #stopping = new AbortController();
  readonly #open = new Set<Duplex>();
  readonly #running = new Set<Promise<void>>();

  constructor(parts: ApiServerParts) {
    this.#parts = parts;
    setMaxListeners(0, this.#stopping.signal); // each open exchange listens
    this.server = createServer({
      IncomingMessage: HijackableRequest,
      ServerResponse: OrderedResponse,
      keepAliveTimeout: idleTime,
      maxHeaderSize: largestHead,
      requestTimeout: 0,
    });
    this.server.maxConnections = mostConnections;
    // A client may end its side behind its request (`nc -N`) and wait for the answer. Node's typings leave it out.
    (this.server as Server & { httpAllowHalfOpen: boolean }).httpAllowHalfOpen = true;
    this.server.on('connection', (socket: Duplex) => {
      parts.onClient?.();
      this.#open.add(socket);
      socket.once('close', () => this.#open.delete(socket));
    });
    this.server.on('request', (request, response) => this.#track(this.#plain(request, response)));
    this.server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) =>
      this.#track(this.#hijackable(request, socket, head)),
    );
    this.server.on('clientError', (_error, socket: Duplex) => {
      if (socket.writable) hangUp(socket, 'HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      else socket.destroy();
    });
  }

  /** Ends every exchange and every connection. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    const closed = new Promise<void>((resolve) => {
      if (this.server.listening) this.server.close(() => resolve());
      else resolve();
    });
    for (const socket of this.#open) socket.destroy();
    await closed;
    await Promise.all(this.#running);
  }

  #track(work: Promise<void>): void {
    this.#running.add(work);
    void work.finally(() => this.#running.delete(work));
  }

  async #plain(request: IncomingMessage, response: ServerResponse): Promise<void> {
    await this.#serve(request, response, request, undefined);
    // Of a client that has ended its side nobody knows whether it is there still: what has no end by itself ends here.
    if (request.socket?.readableEnded && response.headersSent && !response.writableEnded) response.end();
    // What is left of a body would be taken for the next request.
    if (!request.complete && !request.destroyed) request.resume();
  }

  async #hijackable(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => undefined);
    if (head.length > 0) socket.unshift(head);
    const response = new OrderedResponse(request);
    response.shouldKeepAlive = false;
    response.assignSocket(socket as never);
    response.once('finish', () => hangUp(socket));
    const { upgrade } = request.headers;
    const isLong = hasLongBody(request.method ?? '', request.url ?? '');
    const body = isLong
      ? new SocketBody(request, socket as Socket)
      : Readable.from(lazily(() => takeBody(request, socket)));
    body.on('error', () => undefined);
    await this.#serve(request, response, body, isLong ? undefined : { socket, upgrade });
  }

  async #serve(
    request: IncomingMessage,
    response: ServerResponse,
    body: Readable,
    hijackable: HijackableSocket | undefined,
  ): Promise<void> {
    const { path, query: queryText } = pathOf(request.url ?? '/');
    const log = this.#parts.log.with({ request: systemRandom.hex(12), method: request.method, path });
    const signal = this.#signalOf(hijackable?.socket, request, response);
    try {
      const clean = cleanPath(path);
      if (clean === undefined) return sendBadRequest(response);
      if (clean !== path) return redirect(response, clean, queryText);
      if (request.method === 'OPTIONS') return this.#sendOptions(response);
      const match = this.#parts.router.find(request.method ?? 'GET', path);
      if (match === undefined) return sendError(response, 404, 'page not found');
      if (this.#running.size > mostRequests) return sendError(response, 503, 'too many requests at a time');
      const version = this.#headersFor(response, match.version);
      const query = new Query(queryText);
      const { parameters } = match;
      await match.route.handle(
        new Exchange({ request, response, body, parameters, query, version, signal, log, hijackable }),
      );
      log.debug('request served', { status: response.statusCode });
    } catch (error) {
      this.#answerFailure(error, response, signal, log);
    }
  }

  /** Sets the headers of every answer. Throws `invalid` for a version that is not spoken here. */
  #headersFor(response: ServerResponse, version: string | undefined): ApiVersion {
    response.setHeader('Api-Version', newestVersion);
    response.setHeader('Ostype', 'linux');
    response.setHeader('Server', this.#parts.serverName);
    const spoken = version === undefined ? currentVersion : requestedVersion(version);
    response.setHeader('Docker-Experimental', 'false');
    return spoken;
  }

  /** Whatever the path: dockerd's answer to browsers that ask before they ask. */
  #sendOptions(response: ServerResponse): void {
    this.#headersFor(response, undefined);
    response.writeHead(200, { 'Content-Length': 0 }).end();
  }

  #answerFailure(error: unknown, response: ServerResponse, signal: AbortSignal, log: Logger): void {
    const status = statusOf(error);
    if (signal.aborted) log.debug('request given up', { error: messageOf(error) });
    else if (status >= 500) log.warn('request failed', { status, error: messageOf(error) });
    else log.debug('request refused', { status, error: messageOf(error) });
    if (response.headersSent) response.destroy();
    else if (response.socket === null) log.debug('the connection has left HTTP');
    else sendError(response, status, messageOf(error));
  }

  /** Fires when the client is gone; of a plain request, when it has ended its side, as dockerd's. */
  #signalOf(hijackable: Duplex | undefined, request: IncomingMessage, response: ServerResponse): AbortSignal {
    const connection = hijackable ?? request.socket;
    const ending = hijackable === undefined ? 'end' : 'close';
    const controller = new AbortController();
    const abort = (): void => controller.abort();
    const forget = (): void => {
      this.#stopping.signal.removeEventListener('abort', abort);
      for (const event of ['close', ending]) connection.off(event, gone);
    };
    const gone = (): void => {
      forget();
      abort();
    };
    if (this.#stopping.signal.aborted) abort();
    this.#stopping.signal.addEventListener('abort', abort, { once: true });
    for (const event of ['close', ending]) connection.once(event, gone);
    response.once('finish', forget);
    return controller.signal;
  }
}

function sendError(response: ServerResponse, status: number, message: string): void {
  for (const name of ['Content-Length', 'Transfer-Encoding']) response.removeHeader(name);
  if (status === 304) {
    response.writeHead(304).end();
    return;
  }
  const text = `${encodeJson({ message })}\n`;
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) });
  response.end(text);
}

/** To the same path without empty parts and dots, as Go's routers send those who ask for others. */
function redirect(response: ServerResponse, path: string, query: string): void {
  const location = query === '' ? path : `${path}?${query}`;
  response.writeHead(301, { Location: location, 'Content-Length': 0 }).end();
}

/** A path that is none. */
function sendBadRequest(response: ServerResponse): void {
  const text = '400 Bad Request';
  response.writeHead(400, { 'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': text.length });
  response.end(text);
}

/** A stream that is asked for only when somebody reads. */
async function* lazily(open: () => Promise<Readable>): AsyncGenerator<Buffer, void, undefined> {
  yield* (await open()) as AsyncIterable<Buffer>;
}
