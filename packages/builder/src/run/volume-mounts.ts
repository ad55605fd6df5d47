import { mkdirSync } from 'node:fs';
import { posix } from 'node:path';
import type { StageContext } from '../build/stage-context.ts';
import type { StageImage } from '../build/stage-image.ts';
import type { StepMount } from '../step-runner.ts';
import { mountReadOnly } from './layer-mounts.ts';

/**
 * What stands on an image's `VOLUME`s while a command runs: folders of the step's own with the image's content, as
 * dockerd's anonymous volumes. What the command writes there is in no layer; the empty folder is. `taken`: where
 * something else is mounted.
 */
export async function volumeMounts(
  context: StageContext,
  image: StageImage,
  taken: readonly string[],
): Promise<readonly StepMount[]> {
  const volumes = Object.keys(image.config.Volumes ?? {}).map((path) => posix.join('/', path));
  const free = volumes.filter((path) => path !== '/' && !taken.includes(path));
  if (free.length === 0) return [];
  const { services, hold, mountPoint, workFolder, signal } = context;
  const folders = await hold(image.layers);
  await using mounted = await mountReadOnly(image.layers.length > 0 ? folders : [], mountPoint());
  const tree = { kind: 'folder', root: mounted.root, keepsOwners: true } as const;
  const mounts: StepMount[] = [];
  for (const target of free) {
    const hostPath = workFolder();
    mkdirSync(hostPath, { recursive: true, mode: 0o755 });
    await services.files.run('copyFolder', { tree, path: target, into: hostPath, asItself: true }, signal);
    mounts.push({ type: 'bind', hostPath, target, readOnly: false, keepsTarget: true });
  }
  return mounts;
}
