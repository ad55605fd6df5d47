import { open } from 'node:fs/promises';
import type { ClientRequest } from 'node:http';
import { type PieceWriter, pieceWriter } from '@wherry/base';
import { plainDescriptorOf, sendFile } from '@wherry/linux';

/** A part of a file, from `start` to before `end`. */
export interface FileBody {
  readonly path: string;
  readonly start: number;
  readonly end: number;
  /** Told of bytes that were handed to the kernel. */
  readonly onSent: (bytes: number) => void;
}

/** What is made while it is sent: each piece is valid until the next one is asked for. */
export interface StreamBody {
  readonly pieces: () => AsyncIterable<Uint8Array>;
}

const pieceSize = 256 * 1024;

/** Sends what is long as the body of a request, in the same memory all the time, and ends it. Failures destroy the request. */
export async function sendBody(request: ClientRequest, body: FileBody | StreamBody): Promise<void> {
  const write = pieceWriter(request);
  try {
    if ('path' in body) await sendPart(request, write, body);
    else for await (const piece of body.pieces()) if (!(await write(piece))) return;
    if (!request.destroyed) request.end();
  } catch (error) {
    request.destroy(error as Error);
  }
}

/** The kernel takes the file's bytes itself, but for the first, which go with the head, and over TLS. */
async function sendPart(
  request: ClientRequest,
  write: PieceWriter,
  { path, start, end, onSent }: FileBody,
): Promise<void> {
  if (start === end) return;
  const file = await open(path, 'r');
  try {
    const buffer = Buffer.allocUnsafe(Math.min(pieceSize, end - start));
    for (let at = start; at < end; ) {
      const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, end - at), at);
      if (bytesRead === 0) throw new Error(`${path} ends ${end - at} bytes early`);
      if (!(await write(buffer.subarray(0, bytesRead)))) return;
      at += bytesRead;
      onSent(bytesRead);
      const { socket } = request;
      if (at === end || socket === null || plainDescriptorOf(socket) === undefined) continue;
      await sendFile(socket, file.fd, { start: at, end, onSent });
      return;
    }
  } finally {
    await file.close();
  }
}
