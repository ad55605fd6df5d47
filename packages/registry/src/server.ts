import { createServer, type Server } from 'node:http';
import {
  constants,
  createSecureServer,
  type Http2SecureServer,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import { type Logger, WherryError } from '@wherry/base';
import { Exchange, type HttpRequest, type HttpResponse } from './protocol/exchange.ts';
import { loadKernel } from './protocol/send-bytes.ts';
import type { TlsFiles } from './tls-files.ts';

export interface ListenOptions {
  /** Default: 127.0.0.1. */
  readonly address?: string | undefined;
  /** Default: one that is free. */
  readonly port?: number | undefined;
  /** PEM files, read again when they change. HTTP/1.1 and HTTP/2 are spoken over them, HTTP/1.1 without. */
  readonly tls?: { readonly certificate: string; readonly key: string } | undefined;
}

/** Where a registry answers; dispose to stop. */
export interface Listener extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
}

/** A connection without a byte in either direction for so long is closed, ms. */
const idleTimeout = 60_000;
/**
 * What HTTP/2 clients may send before it is read, of one body and on a connection (bytes): with the 64 KiB that the protocol
 * begins with, a push waits for acknowledgements most of the time.
 */
const streamWindow = 1024 * 1024;
const connectionWindow = 4 * 1024 * 1024;
const maxFrameSize = 64 * 1024;
/** How long the rest of a refused body is read, for the client to see the answer, ms. */
const drainTimeout = 5_000;
/** How often a slow HTTP/2 client's stream is asked whether its answer has gone out, ms. */
const endCheck = 50;

/** Opens a port. `handle` never rejects. */
export async function listen(
  options: ListenOptions,
  tls: TlsFiles | undefined,
  handle: (exchange: Exchange) => Promise<void>,
  log: Logger,
): Promise<Listener> {
  const onRequest = (request: HttpRequest, response: HttpResponse): void => {
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    const exchange = new Exchange(request, response);
    if ('stream' in request) stopBody(request.stream);
    void handle(exchange).finally(() => drain(request));
  };
  const server = tls
    ? createSecureServer(
        { allowHTTP1: true, settings: { initialWindowSize: streamWindow, maxFrameSize }, ...(await tls.read()) },
        onRequest,
      )
    : createServer(onRequest);
  if (!tls) Object.assign(server, { requestTimeout: 0, headersTimeout: 30_000, keepAliveTimeout: 65_000 });
  server.setTimeout(idleTimeout);
  const connections = new Set<Socket | ServerHttp2Session>();
  const track = (connection: Socket | ServerHttp2Session): void => {
    connections.add(connection);
    connection.once('close', () => connections.delete(connection));
  };
  server.on('connection', track);
  if (tls) {
    server.on('session', (session: ServerHttp2Session) => {
      track(session);
      session.setLocalWindowSize(connectionWindow);
    });
  }
  server.on('clientError', (_error: Error, socket: Socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
    else socket.destroy();
  });
  const watching = tls?.watch((secrets) => (server as Http2SecureServer).setSecureContext(secrets), log);
  const { address = '127.0.0.1', port = 0 } = options;
  await start(server, address, port);
  if (!tls) setImmediate(() => void loadKernel());
  const bound = server.address() as AddressInfo;
  const host = bound.family === 'IPv6' ? `[${bound.address}]` : bound.address;
  return {
    url: `${tls ? 'https' : 'http'}://${host}:${bound.port}`,
    port: bound.port,
    async [Symbol.asyncDispose]() {
      watching?.[Symbol.dispose]();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const connection of connections) connection.destroy();
      await closed;
    },
  };
}

async function start(server: Server | Http2SecureServer, address: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'the port is in use' : error.message;
      reject(new WherryError('unavailable', `cannot listen on ${address}:${port}: ${why}`, { cause: error }));
    });
    server.listen(port, address, resolve);
  });
}

/**
 * Asks an HTTP/2 client that has its answer to send no more of its body (RFC 9113, 8.1); other streams go on. What still waits
 * to be sent when a stream is reset is never sent, and an answer without END_STREAM is an error to Go's client: so it goes first.
 */
function stopBody(stream: ServerHttp2Stream): void {
  if (stream.endAfterHeaders) return;
  const reset = (): void => {
    if (stream.destroyed || stream.readableEnded) return;
    if (stream.state.localClose === 1) stream.close(constants.NGHTTP2_NO_ERROR);
    else setTimeout(reset, endCheck).unref();
  };
  // What was written is handed to the connection before this turn of the event loop is over.
  stream.once('finish', () => setImmediate(reset));
}

/** Node reads the rest of a body that nobody wanted; it is given an end. */
function drain(request: HttpRequest): void {
  if ('stream' in request || request.readableEnded || request.destroyed) return;
  const timer = setTimeout(() => request.socket?.destroy(), drainTimeout);
  timer.unref();
  request.once('close', () => clearTimeout(timer));
  request.resume();
}
