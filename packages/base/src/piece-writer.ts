import type { OutgoingMessage } from 'node:http';

/** Writes parts one by one; each resolves when it is out of our hands, with `false` when the reader has gone. */
export type PieceWriter = (piece: Uint8Array) => Promise<boolean>;

/** For a request or an answer whose pieces are in memory that is used again. */
export function pieceWriter(message: OutgoingMessage): PieceWriter {
  let settle: ((sent: boolean) => void) | undefined;
  // Node calls no callback of a write whose connection ended before the write was made.
  message.once('close', () => settle?.(false));
  return (piece) => {
    if (message.destroyed || message.writableEnded) return Promise.resolve(false);
    return new Promise((resolve) => {
      settle = resolve;
      message.write(piece, (error) => resolve(!error));
    });
  };
}
