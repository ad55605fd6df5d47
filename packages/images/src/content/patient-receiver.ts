import { receive } from '@wherry/linux';

/** What has come is taken so often (ms), and less often where it is `little` (bytes). */
const [shortWait, longWait] = [200, 1600];
const little = 16 * 1024;

export interface Patience {
  /** Milliseconds that the connection may be silent; without end where there is none. */
  readonly milliseconds?: number;
  /** Called whenever something came, or nothing for a while: `endReceiving` brings it about at once. */
  readonly throwIfCancelled: () => void;
}

/**
 * Reads a connection for a thread, which it blocks. Each call fills the buffer, or a part of it: the count, 0 when the
 * connection has ended in whatever way, `undefined` when it was silent for too long.
 */
export function patientReceiver(
  connection: number,
  { milliseconds = Number.POSITIVE_INFINITY, throwIfCancelled }: Patience,
): (into: Buffer) => number | undefined {
  let wait = shortWait;
  return (into) => {
    for (let silence = 0; ; ) {
      const count = receive(connection, into, wait);
      throwIfCancelled();
      silence += wait;
      wait = (count ?? 0) < little ? Math.min(2 * wait, longWait) : shortWait;
      if (count !== undefined) return count;
      if (silence >= milliseconds) return undefined;
    }
  };
}
