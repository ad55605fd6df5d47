import type { Duplex } from 'node:stream';
import { WherryError } from '@wherry/base';
import type { Exchange } from '../http/exchange.ts';

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
 * without length whose body both sides write to.
 */
export function hijack(exchange: Exchange, tty: boolean): Duplex {
  const { hijackable, response } = exchange;
  if (hijackable === undefined) throw new WherryError('internal', 'this connection cannot be taken over');
  const { socket, upgrade } = hijackable;
  response.detachSocket(socket as never);
  const head = [
    upgrade === undefined ? 'HTTP/1.1 200 OK' : 'HTTP/1.1 101 UPGRADED',
    `Content-Type: ${streamType(exchange, tty, upgrade === undefined)}`,
    ...(upgrade === undefined ? [] : ['Connection: Upgrade', 'Upgrade: tcp']),
    ...response.getHeaderNames().map((name) => `${canonical(name)}: ${String(response.getHeader(name))}`),
  ];
  socket.write(`${head.join('\r\n')}\r\n\r\n`);
  return socket;
}

/** `api-version` as Go writes it: `Api-Version`. */
function canonical(name: string): string {
  return name.replace(/(^|-)([a-z])/g, (_, dash: string, letter: string) => dash + letter.toUpperCase());
}
