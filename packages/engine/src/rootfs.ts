import { closeSync, constants, mkdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from '@wherry/base';
import { mountOverlay, openBeneath, unmountAll } from '@wherry/linux';
import type { EngineContext } from './context.ts';

/** Mounts a container's root file system: the image's layers with a writable one on top. Gives its path. */
export function mountRootfs(context: EngineContext, id: string, lowerDirectories: readonly string[]): string {
  const upperDirectory = join(context.paths.layer(id), 'upper');
  const workDirectory = join(context.paths.layer(id), 'work');
  const target = context.paths.rootfs(id);
  for (const folder of [upperDirectory, workDirectory, target]) mkdirSync(folder, { recursive: true, mode: 0o755 });
  mountOverlay({ lowerDirectories, upperDirectory, workDirectory, target });
  return target;
}

/** Takes back all that `mountRootfs` and a start may have made. Idempotent. */
export async function removeRootfs(context: EngineContext, id: string): Promise<void> {
  unmountAll(context.paths.rootfs(id));
  await Promise.all([
    rm(context.paths.layer(id), { recursive: true, force: true }),
    rm(context.paths.container(id), { recursive: true, force: true }),
  ]);
}

/** Makes a folder and those above it beneath `root`, following links no further than `root` itself. */
export function makeFolderBeneath(root: string, path: string): void {
  let done = '.';
  for (const part of path.split('/').filter((name) => name !== '' && name !== '.')) {
    const next = `${done}/${part}`;
    const flags = constants.O_RDONLY | constants.O_DIRECTORY;
    try {
      closeSync(openBeneath(root, next, { flags }));
    } catch (error) {
      if (codeOf(error) !== 'notFound') throw error;
      const parent = openBeneath(root, done, { flags });
      try {
        mkdirSync(`/proc/self/fd/${parent}/${part}`, 0o755);
      } finally {
        closeSync(parent);
      }
    }
    done = next;
  }
}
