import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { removeTree } from '@wherry/base';
import { mountOverlay, unmountInBackground } from '@wherry/linux';

export interface WritableLayers extends AsyncDisposable {
  /** The merged root. */
  readonly root: string;
  /** What was written; whole once the mount is gone. */
  readonly upper: string;
  unmount(): Promise<void>;
}

/** Mounts layers (topmost first) for writing. `work`: a new folder on their file system; `target`: a new mount point. */
export async function mountWritable(layers: readonly string[], work: string, target: string): Promise<WritableLayers> {
  const upper = join(work, 'upper');
  await mkdir(upper, { recursive: true, mode: 0o755 });
  await mkdir(join(work, 'work'), { mode: 0o700 });
  await mkdir(join(work, 'empty'), { mode: 0o755 });
  await mkdir(target, { recursive: true, mode: 0o700 });
  mountOverlay({
    lowerDirectories: layers.length > 0 ? layers : [join(work, 'empty')],
    upperDirectory: upper,
    workDirectory: join(work, 'work'),
    target,
    // Nothing is on the disk yet when it is unmounted; the layer that is made of it is brought there once.
    options: ['volatile'],
  });
  const unmount = async (): Promise<void> => await unmountInBackground(target);
  const dispose = async (): Promise<void> => {
    await unmount();
    await rm(target, { recursive: true, force: true });
    await removeTree(work);
  };
  return { root: target, upper, unmount, [Symbol.asyncDispose]: dispose };
}

export interface ReadOnlyLayers extends AsyncDisposable {
  readonly root: string;
}

/** Shows layers (topmost first) as one tree. */
export async function mountReadOnly(layers: readonly string[], target: string): Promise<ReadOnlyLayers> {
  const only = layers.length === 1 ? layers[0] : undefined;
  if (only !== undefined) return { root: only, [Symbol.asyncDispose]: async () => undefined };
  await mkdir(target, { recursive: true, mode: 0o700 });
  if (layers.length > 0) mountOverlay({ lowerDirectories: layers, target });
  const dispose = async (): Promise<void> => {
    await unmountInBackground(target);
    await rm(target, { recursive: true, force: true });
  };
  return { root: target, [Symbol.asyncDispose]: dispose };
}
