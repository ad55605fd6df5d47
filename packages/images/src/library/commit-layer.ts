import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, removeTree } from '@wherry/base';
import type { CommitLayer, CommittedLayer } from '../image-library.ts';
import { chainIds } from '../layers/layer-store.ts';
import type { StoreParts } from '../store-parts.ts';

/** Makes a layer of an overlay's upper folder; see `ImageLibrary.commitLayer`. */
export async function commitLayer(parts: StoreParts, request: CommitLayer): Promise<CommittedLayer | undefined> {
  const { content, layers, threads, pins, limits } = parts;
  const { upper, base, adopt = false, users, timestamp, signal } = request;
  const latest = timestamp === undefined ? undefined : Math.floor(timestamp / 1000);
  const tar = await content.temporary();
  await using temporary = await layers.temporary();
  const copy = join(temporary.path, 'fs');
  await mkdir(copy, { mode: 0o755 });
  try {
    const packed = await threads.run(
      'pack',
      {
        upper,
        tar,
        copy: adopt ? undefined : copy,
        latest,
        settle: adopt,
        users,
        limits,
      },
      { signal },
    );
    if (packed.inodes === 0) return undefined;
    const { digest, size, bytes, inodes } = packed;
    const chainId = chainIds([...base.map(({ diffId }) => diffId), digest]).at(-1)!;
    const pin = await pins.pin([digest, chainId], { isNew: true });
    try {
      await content.adopt(tar, digest);
      const facts = { chainId, diffId: digest, bytes, inodes, tarBytes: size };
      if (!adopt) await layers.adopt(copy, facts);
      else if (!(await adoptUpper(parts, upper, facts))) {
        const below = base.map((layer) => layer.chainId).reverse();
        await layers.unpack(facts, content.path(digest), below, { signal });
        await removeTree(upper);
      }
      return { digest, size, diffId: digest, chainId, [Symbol.dispose]: () => pin[Symbol.dispose]() };
    } catch (error) {
      pin[Symbol.dispose]();
      throw error;
    }
  } finally {
    await rm(tar, { force: true });
  }
}

/** False when the folder is left as it was: the layer is there, or the folder is on another file system. */
async function adoptUpper(
  { layers }: StoreParts,
  upper: string,
  facts: Parameters<StoreParts['layers']['adopt']>[1],
): Promise<boolean> {
  try {
    return await layers.adopt(upper, facts);
  } catch (error) {
    if (errnoOf(error) === 'EXDEV') return false;
    throw error;
  }
}
