import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { codeOf, type TaskWork, WherryError } from '@wherry/base';
import { hexOf } from '@wherry/oci';
import { decompressed } from '../content/compression.ts';
import { settleImplied } from '../layers/implied-folders.ts';
import { packChanges } from '../layers/pack-changes.ts';
import { largestTarOf, unpackLayer } from '../layers/unpack.ts';
import type { LayerTasks } from './layer-task.ts';

/** What a thread does with layers. */
export const layerWork: TaskWork<LayerTasks> = {
  pack: (request, { throwIfCancelled }) => packChanges(request, throwIfCancelled),
  unpack: (request, { throwIfCancelled }) => unpack(request, throwIfCancelled),
  settle: ({ folder, lower, implied }) => settleImplied(folder, lower, implied),
  compress: (request, { throwIfCancelled }) => compress(request, throwIfCancelled),
  remove: ({ folder }) => {
    rmSync(folder, { recursive: true, force: true });
    return undefined;
  },
};

type Request<Kind extends keyof LayerTasks> = LayerTasks[Kind]['request'];
type Result<Kind extends keyof LayerTasks> = LayerTasks[Kind]['result'];

async function unpack(task: Request<'unpack'>, throwIfCancelled: () => void): Promise<Result<'unpack'>> {
  const { diffId, limits } = task;
  const largestTar = largestTarOf(limits);
  const hash = createHash(diffId.startsWith('sha512:') ? 'sha512' : 'sha256');
  let tarBytes = 0;
  const hashed = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of decompressed(createReadStream(task.blob, { highWaterMark: 256 * 1024 }))) {
      throwIfCancelled();
      hash.update(chunk);
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
  const found = hash.digest('hex');
  if (found !== hexOf(diffId)) {
    throw new WherryError('corrupt', `wrong diff id calculated on extraction: sha256:${found}, expected ${diffId}`);
  }
  return { ...unpacked, tarBytes };
}

/** The level that docker uses: its default, fast enough for a network. */
async function compress(task: Request<'compress'>, throwIfCancelled: () => void): Promise<Result<'compress'>> {
  const hash = createHash('sha256');
  let size = 0;
  const counted = async function* (source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of source) {
      throwIfCancelled();
      hash.update(chunk);
      size += chunk.length;
      yield chunk;
    }
  };
  await pipeline(
    createReadStream(task.blob, { highWaterMark: 256 * 1024 }),
    createGzip({ chunkSize: 64 * 1024 }),
    counted,
    createWriteStream(task.target, { flags: 'wx', mode: 0o600 }),
  );
  const file = await open(task.target, 'r');
  try {
    await file.datasync();
  } finally {
    await file.close();
  }
  return { digest: `sha256:${hash.digest('hex')}`, size };
}
