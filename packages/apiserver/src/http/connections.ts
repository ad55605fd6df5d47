import type { Server } from 'node:http';
import type { Http2SecureServer, ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import type { Clock } from '@wherry/base';

/** Connections at a time, of all clients and of one address. */
const mostConnections = 4096;
const mostOfAddress = 1024;
/** How long a connection may stay on which nothing is asked (kube-apiserver's, milliseconds). */
const idleTime = 90_000;
const headersTime = 32_000;
const handshakeTime = 10_000;

/** Options of the server: a peer that is gone without a word is noticed, one that does not begin is not waited for. */
export const connectionLimits = {
  handshakeTimeout: handshakeTime,
  keepAlive: true,
  keepAliveInitialDelay: 30_000,
} as const;

/** Bounds what clients hold by merely being connected; whoever asks for something is not affected. */
export function limitConnections(server: Http2SecureServer, clock: Clock): void {
  server.maxConnections = mostConnections;
  const firstVersion = server as unknown as Pick<Server, 'headersTimeout' | 'keepAliveTimeout' | 'requestTimeout'>;
  firstVersion.headersTimeout = headersTime;
  firstVersion.keepAliveTimeout = idleTime;
  // A proxied upload takes its time; other bodies are timed where they are read.
  firstVersion.requestTimeout = 0;
  const counts = new Map<string, number>();
  server.on('connection', (socket: Socket) => {
    const address = socket.remoteAddress ?? '';
    const count = (counts.get(address) ?? 0) + 1;
    if (count > mostOfAddress) {
      socket.destroy();
      return;
    }
    counts.set(address, count);
    socket.once('close', () => {
      const left = (counts.get(address) ?? 1) - 1;
      if (left === 0) counts.delete(address);
      else counts.set(address, left);
    });
  });
  server.on('session', (session) => endIdleSession(session, clock));
}

/** Ends an HTTP/2 session on which no stream is open for a while. */
function endIdleSession(session: ServerHttp2Session, clock: Clock): void {
  let streams = 0;
  const begin = (): Disposable =>
    clock.after(idleTime, () => {
      if (streams === 0 && !session.closed) session.close();
    });
  let timer = begin();
  session.on('stream', (stream) => {
    streams++;
    timer[Symbol.dispose]();
    stream.once('close', () => {
      streams--;
      if (streams > 0 || session.closed || session.destroyed) return;
      timer = begin();
    });
  });
  session.once('close', () => timer[Symbol.dispose]());
}
