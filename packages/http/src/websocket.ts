import type { IncomingMessage } from 'node:http';
import { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { hangUp } from './farewell.ts';

/** Longest message that a client may send (bytes). */
const longestMessage = 1024 * 1024;

/**
 * Accepts a WebSocket upgrade with one of the subprotocols, the client's first choice. Gives the
 * socket and the subprotocol ('' when the client named none and that is allowed), or `undefined`
 * after answering that none fits.
 */
export function acceptWebSocket(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  protocols: readonly string[],
): Promise<{ readonly socket: WebSocket; readonly protocol: string } | undefined> {
  const offered = String(request.headers['sec-websocket-protocol'] ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '' && !name.startsWith('base64url.bearer.authorization.k8s.io.'));
  const protocol = offered.length === 0 ? '' : offered.find((name) => protocols.includes(name));
  if (protocol === undefined || !protocols.includes(protocol)) {
    hangUp(socket, 'HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    return Promise.resolve(undefined);
  }
  const server = new WebSocketServer({
    noServer: true,
    maxPayload: longestMessage,
    perMessageDeflate: false,
    handleProtocols: () => (protocol === '' ? false : protocol),
  });
  return new Promise((resolve) => {
    // The library answers a malformed handshake itself and closes the socket.
    socket.once('close', () => resolve(undefined));
    server.handleUpgrade(request, socket, head, (accepted) => {
      accepted.on('error', () => undefined);
      resolve({ socket: accepted, protocol });
    });
  });
}

/** The binary messages of a WebSocket as a byte stream, for protocols that are tunnelled in it (KEP-4006). */
export function webSocketStream(socket: WebSocket): Duplex {
  const stream = new Duplex({
    read: () => socket.resume(),
    write: (chunk: Buffer, _encoding, callback) =>
      socket.send(chunk, { binary: true }, (error) => callback(error ?? null)),
    final: (callback) => {
      socket.close(1000);
      callback();
    },
    destroy: (error, callback) => {
      socket.terminate();
      callback(error);
    },
  });
  socket.on('message', (data: Buffer) => {
    if (!stream.push(data)) socket.pause();
  });
  socket.on('close', () => {
    if (!stream.readableEnded) stream.push(null);
  });
  socket.on('error', (error) => stream.destroy(error));
  return stream;
}
