import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { messageOf, WherryError } from '@wherry/base';
import { hangUp } from '@wherry/http';
import type { Exchange } from '../http/exchange.ts';
import { canonicalName } from '../http/ordered-response.ts';
import { statusOf } from '../http/statuses.ts';

export const rawStream = 'application/vnd.docker.raw-stream';
export const multiplexedStream = 'application/vnd.docker.multiplexed-stream';

/**
 * The content type of a container's output. `plain`: the client did not ask for an upgrade, and dockerd says raw then
 * whatever follows.
 */
export function streamType(exchange: Exchange, tty: boolean, plain = false): string {
  return tty || plain || !exchange.speaks(42) ? rawStream : multiplexedStream;
}

/**
 * Takes the connection over for a container's streams: `101 UPGRADED` for those who asked for an upgrade, else a 200
 * without length whose body both sides write to. `bare`: without the headers of every answer, as dockerd's attach.
 */
export function hijack(exchange: Exchange, tty: boolean, { bare = false } = {}): Duplex {
  const { hijackable, response } = exchange;
  if (hijackable === undefined) throw new WherryError('internal', 'this connection cannot be taken over');
  const { socket, upgrade } = hijackable;
  response.detachSocket(socket as never);
  const head = [
    upgrade === undefined ? 'HTTP/1.1 200 OK' : 'HTTP/1.1 101 UPGRADED',
    `Content-Type: ${streamType(exchange, tty, upgrade === undefined)}`,
    ...(upgrade === undefined ? [] : ['Connection: Upgrade', 'Upgrade: tcp']),
    ...(bare
      ? []
      : response
          .getHeaderNames()
          .sort()
          .map((name) => `${canonicalName(name)}: ${String(response.getHeader(name))}`)),
  ];
  socket.write(`${head.join('\r\n')}\r\n\r\n`);
  return socket;
}

/** Refuses on a connection that counts as taken over: the words alone, without JSON. */
export function refuseHijack(exchange: Exchange, error: unknown): void {
  const { hijackable, response } = exchange;
  if (hijackable === undefined) throw error;
  response.detachSocket(hijackable.socket as never);
  const status = statusOf(error);
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nContent-Type: ${rawStream}\r\n\r\n`;
  hangUp(hijackable.socket, `${head}${messageOf(error)}\r\n`);
}
