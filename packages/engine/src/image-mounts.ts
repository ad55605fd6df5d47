import { createHash } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf, WherryError } from '@wherry/base';
import { isMountRoot, mountOverlay, openBeneath, unmountAll } from '@wherry/linux';
import type { ContainerConfig, Mount } from '@wherry/runtime';
import type { EngineContext } from './context.ts';
import type { ContainerRecord } from './state/records.ts';

const pathOnly = 0o10000000; // O_PATH

const imagesOf = ({ mounts }: ContainerConfig): string[] => [
  ...new Set(mounts.flatMap(({ image }) => (image === undefined ? [] : [image]))),
];

/** Who holds an image that a container mounts. */
const ownerOf = (id: string, image: string): string =>
  `${id}.${createHash('sha256').update(image).digest('hex').slice(0, 16)}`;

/** Holds the images that a container mounts; gives their layers by name, topmost first. Undone by `releaseImages`. */
export async function holdImages(
  { images }: EngineContext,
  { id, config }: ContainerRecord,
): Promise<Record<string, readonly string[]>> {
  const held: Record<string, readonly string[]> = {};
  for (const image of imagesOf(config)) held[image] = (await images.rootfs(image, ownerOf(id, image))).lowerDirectories;
  return held;
}

/** Idempotent. */
export async function releaseImages({ images }: EngineContext, record: ContainerRecord): Promise<void> {
  const { id, config, mountedImages = {} } = record;
  for (const image of new Set([...imagesOf(config), ...Object.keys(mountedImages)]))
    await images.release(ownerOf(id, image));
}

/** The mounts of a container, with those of images as the host sees them. Undone by `unmountImages`. */
export function mountImages({ paths }: EngineContext, record: ContainerRecord): readonly Mount[] {
  return record.config.mounts.map((mount, index) => {
    if (mount.image === undefined) return mount;
    const root = imageTree(record, mount.image, join(imageFolder(paths.container(record.id)), String(index)));
    return { ...mount, image: undefined, hostPath: pathWithin(root, mount.hostPath), readOnly: true };
  });
}

/** One layer is a tree by itself. */
function imageTree({ mountedImages = {} }: ContainerRecord, image: string, target: string): string {
  const lowerDirectories = mountedImages[image];
  if (lowerDirectories === undefined)
    throw new WherryError('invalid', `the image ${image} was not there when the container was made`);
  if (lowerDirectories.length === 1) return lowerDirectories[0] as string;
  mkdirSync(target, { recursive: true, mode: 0o755 });
  if (!isMountRoot(target)) mountOverlay({ lowerDirectories, target });
  return target;
}

/** Nobody writes to the tree: what a path leads to now, it always does. */
function pathWithin(root: string, path: string): string {
  try {
    const found = openBeneath(root, path, { flags: pathOnly });
    try {
      return readlinkSync(`/proc/self/fd/${found}`);
    } finally {
      closeSync(found);
    }
  } catch (error) {
    if (codeOf(error) !== 'notFound') throw error;
    const wanted = join(root, path);
    const words = `cannot access path ${wanted}: lstat ${wanted}: no such file or directory`;
    throw new WherryError('invalid', words, { cause: error });
  }
}

const imageFolder = (container: string): string => join(container, 'images');

/** Idempotent. */
export function unmountImages({ paths }: EngineContext, id: string): void {
  const folder = imageFolder(paths.container(id));
  for (const name of existsSync(folder) ? readdirSync(folder) : []) unmountAll(join(folder, name));
}
