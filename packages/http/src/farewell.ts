import type { Duplex } from 'node:stream';
import { type Clock, systemClock } from '@wherry/base';

/** How long a peer has to read the last bytes and to close its side (milliseconds). */
const patience = 5_000;

/**
 * Ends a connection with these last bytes. What still comes is thrown away, and a peer who does not read
 * or does not close is cut off after five seconds: a socket half closed would stay for ever.
 */
export function hangUp(socket: Duplex, last?: string | Buffer, clock: Clock = systemClock): void {
  if (socket.destroyed) return;
  const timer = clock.after(patience, () => socket.destroy());
  socket.once('close', () => timer[Symbol.dispose]());
  socket.on('error', () => undefined);
  if (last === undefined) socket.end();
  else socket.end(last);
  socket.resume();
}
