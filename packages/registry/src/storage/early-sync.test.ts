import type { FileHandle } from 'node:fs/promises';
import { deferred } from '@wherry/base';
import { expect, it } from 'vitest';
import { EarlySync } from './early-sync.ts';

const megabyte = 1024 * 1024;

/** A file whose syncs end when they are told to. */
function slowFile() {
  const syncs: ReturnType<typeof deferred<void>>[] = [];
  const datasync = (): Promise<void> => {
    const sync = deferred<void>();
    syncs.push(sync);
    return sync.promise;
  };
  return { syncs, file: { datasync } as FileHandle };
}

it('syncs in large portions, one at a time, and is waited for', async () => {
  const { file, syncs } = slowFile();
  const sync = new EarlySync();
  await sync.rest();
  sync.written(file, 15 * megabyte);
  expect(syncs).toHaveLength(0);
  sync.written(file, megabyte);
  sync.written(file, 40 * megabyte);
  expect(syncs).toHaveLength(1);
  let isOver = false;
  const rest = sync.rest().then(() => {
    isOver = true;
  });
  await new Promise(setImmediate);
  expect(isOver).toBe(false);
  syncs[0]!.resolve();
  await rest;
  sync.written(file, 1);
  expect(syncs).toHaveLength(2);
  syncs[1]!.resolve();
  await sync.rest();
});

it('does not forget that the disk failed', async () => {
  const { file, syncs } = slowFile();
  const sync = new EarlySync();
  sync.written(file, 16 * megabyte);
  syncs[0]!.reject(new Error('EIO'));
  await expect(sync.rest()).rejects.toThrow('EIO');
  await expect(sync.rest()).rejects.toThrow('EIO');
});
