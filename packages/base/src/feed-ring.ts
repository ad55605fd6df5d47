import { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { ByteRing } from './byte-ring.ts';

/**
 * Puts a stream into a ring, to its end, or until `signal` says that nobody reads any more: then the source is told, but for
 * a server's request. Rejects as the source does.
 */
export async function feedRing(ring: ByteRing, source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
  await (source instanceof Readable ? feedFlowing(ring, source, signal) : feedPieces(ring, source, signal));
  if (!signal.aborted) ring.end();
}

async function feedPieces(ring: ByteRing, source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
  for await (const piece of source) {
    for (let rest = ring.put(piece); rest.length > 0; rest = ring.put(rest)) {
      await ring.room();
      if (signal.aborted) return;
    }
    if (signal.aborted) return;
  }
}

/** Piece by piece as they come: to iterate over a stream costs several times as much. */
async function feedFlowing(ring: ByteRing, source: Readable, signal: AbortSignal): Promise<void> {
  const put = (piece: Uint8Array): void => {
    const rest = ring.put(piece);
    if (rest.length === 0) {
      if (source.isPaused()) source.resume();
      return;
    }
    source.pause();
    void ring.room().then(() => {
      if (!signal.aborted) put(rest);
    });
  };
  source.on('data', put);
  try {
    await finished(source, { writable: false, signal });
  } catch (error) {
    if (!signal.aborted) throw error;
    // Of a request the answer goes over the same connection.
    if (!(source instanceof IncomingMessage && source.method)) source.destroy();
  } finally {
    source.off('data', put);
  }
}
