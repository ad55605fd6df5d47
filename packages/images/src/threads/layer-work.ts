import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { codeOf, type TaskContext, type TaskWork, WherryError } from '@wherry/base';
import { hexOf } from '@wherry/oci';
import { decompressed, detectCompression } from '../content/compression.ts';
import { startOf } from '../content/file-start.ts';
import { readGrowing } from '../content/growing-file.ts';
import { gzipBlocks } from '../content/gzip-blocks.ts';
import { receiveBlob } from '../content/receive-blob.ts';
import { writeAll } from '../content/write-all.ts';
import { settleImplied } from '../layers/implied-folders.ts';
import { packChanges } from '../layers/pack-changes.ts';
import { largestTarOf, unpackLayer } from '../layers/unpack.ts';
import { arrive } from './arrival-work.ts';
import type { LayerTasks } from './layer-task.ts';

/** What a thread does with layers. */
export const layerWork: TaskWork<LayerTasks> = {
  pack: (request, { throwIfCancelled }) => packChanges(request, throwIfCancelled),
  unpack: (request, { throwIfCancelled }) => unpack(request, throwIfCancelled),
  settle: ({ folder, lower, implied }) => settleImplied(folder, lower, implied),
  compress,
  arrive,
  hash,
  receive: receiveBlob,
};

type Request<Kind extends keyof LayerTasks> = LayerTasks[Kind]['request'];
type Result<Kind extends keyof LayerTasks> = LayerTasks[Kind]['result'];

/** A blob that comes more slowly than a piece in this time (ms) is not worth a thread: it is unpacked when it is whole. */
const patience = 10_000;

async function unpack(task: Request<'unpack'>, throwIfCancelled: () => void): Promise<Result<'unpack'>> {
  const { blob, diffId, limits } = task;
  const isWhole = typeof blob === 'string';
  const isKnown = task.isHashed && (!isWhole || detectCompression(await startOf(blob)) === 'none');
  const largestTar = largestTarOf(limits);
  const hash = createHash(diffId?.startsWith('sha512:') ? 'sha512' : 'sha256');
  let tarBytes = 0;
  const hashed = async function* (): AsyncGenerator<Uint8Array> {
    const buffer = Buffer.allocUnsafeSlow(256 * 1024);
    const source = isWhole ? readWhole(blob, buffer) : readGrowing(blob, { patience, buffer });
    for await (const chunk of decompressed(source, { isAlone: true })) {
      throwIfCancelled();
      if (!isKnown) hash.update(chunk);
      tarBytes += chunk.length;
      // An archive may go on behind its end, and headers are no content.
      if (tarBytes > largestTar) throw new WherryError('tooLarge', `a layer of more than ${largestTar} bytes`);
      yield chunk;
    }
  };
  let unpacked: Awaited<ReturnType<typeof unpackLayer>>;
  try {
    unpacked = await unpackLayer(hashed(), task.folder, task.lower, task.limits);
  } catch (error) {
    // What seems broken may only lack the layers below.
    if (task.lower === undefined && codeOf(error) === 'corrupt') return undefined;
    throw error;
  }
  if (isKnown) return { ...unpacked, diffId, tarBytes };
  const found = hash.digest('hex');
  if (diffId === undefined) return { ...unpacked, diffId: `sha256:${found}`, tarBytes };
  if (found !== hexOf(diffId)) {
    throw new WherryError('corrupt', `wrong diff id calculated on extraction: sha256:${found}, expected ${diffId}`);
  }
  return { ...unpacked, diffId, tarBytes };
}

/** A file's content, by way of the buffer. */
async function* readWhole(path: string, buffer: Buffer): AsyncGenerator<Buffer> {
  const file = openSync(path, 'r');
  try {
    for (let at = 0; ; ) {
      const length = readFully(file, buffer, at);
      if (length === 0) return;
      at += length;
      yield buffer.subarray(0, length);
    }
  } finally {
    closeSync(file);
  }
}

/** To be read while it grows, which `report` tells of. */
async function compress(
  { blob, target }: Request<'compress'>,
  { throwIfCancelled, report }: TaskContext<LayerTasks['compress']['progress']>,
): Promise<Result<'compress'>> {
  const hash = createHash('sha256');
  let [read, written] = [0, 0];
  const source = openSync(blob, 'r');
  try {
    const gzip = openSync(target, 'wx', 0o600);
    try {
      const fill = (buffer: Buffer): number => {
        throwIfCancelled();
        const length = readFully(source, buffer, read);
        read += length;
        return length;
      };
      for await (const parts of gzipBlocks(fill, Math.min(4, availableParallelism()))) {
        for (const part of parts) {
          hash.update(part);
          written += writeAll(gzip, part, written);
        }
        report({ read, written });
      }
    } finally {
      closeSync(gzip);
    }
  } finally {
    closeSync(source);
  }
  return { digest: `sha256:${hash.digest('hex')}`, size: written };
}

function hash({ blob, algorithm }: Request<'hash'>, { throwIfCancelled }: TaskContext): Result<'hash'> {
  const hash = createHash(algorithm);
  const buffer = Buffer.allocUnsafe(256 * 1024);
  const file = openSync(blob, 'r');
  try {
    for (let at = 0; ; ) {
      throwIfCancelled();
      const length = readFully(file, buffer, at);
      if (length === 0) return `${algorithm}:${hash.digest('hex')}`;
      hash.update(buffer.subarray(0, length));
      at += length;
    }
  } finally {
    closeSync(file);
  }
}

/** Fills a buffer from a place of a file, as far as there is something; gives how far. */
function readFully(file: number, buffer: Buffer, position: number): number {
  let done = 0;
  for (let count = -1; count !== 0 && done < buffer.length; done += count) {
    count = readSync(file, buffer, done, buffer.length - done, position + done);
  }
  return done;
}
