import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { WherryError } from '@wherry/base';
import { mountHolding } from '@wherry/linux';
import type { Mount } from '@wherry/runtime';
import { containerOfMode } from '../config/modes.ts';
import type { MountPoint } from '../config/types.ts';
import type { DockerContext } from '../containers/context.ts';
import { creatableSources, makeBindSources } from '../containers/create-mounts.ts';
import type { ContainerRecord } from '../containers/record.ts';
import { networkFiles } from '../mapping/network-files.ts';

/** Mounts the volumes of a container that starts and gives what the engine is to mount. */
export async function openMounts(context: DockerContext, record: ContainerRecord): Promise<Mount[]> {
  await makeBindSources(record.mounts, creatableSources(record.host), record.users);
  const mounts = await Promise.all(record.mounts.map((point) => openMount(context, record, point)));
  return [...fileMounts(context, record), ...mounts.flat()];
}

/** Files of the network that a volume or bind of the user's takes the place of are not mounted. */
export function fileMounts(
  context: DockerContext,
  record: ContainerRecord,
): Pick<Mount, 'hostPath' | 'containerPath'>[] {
  const other = containerOfMode(record.host.NetworkMode);
  const owner = other === undefined ? record.id : context.registry.find(other).id;
  const taken = new Set(record.mounts.map(({ Destination }) => Destination));
  return networkFiles
    .map((name) => ({ hostPath: join(context.store.folder(owner), name), containerPath: `/etc/${name}` }))
    .filter(({ containerPath }) => !taken.has(containerPath));
}

async function openMount(context: DockerContext, { id }: ContainerRecord, point: MountPoint): Promise<Mount[]> {
  const { Type, Name, Source, Destination, RW, made } = point;
  if (Type === 'tmpfs') return [];
  if (Type === 'image') return imageMounts([point]);
  const common = { containerPath: Destination, readOnly: !RW };
  if (Type === 'bind') {
    const propagation = await propagationOf(point);
    const deep =
      context.host.recursiveReadOnly && !RW && made.nonRecursive !== true && made.readOnlyNonRecursive !== true;
    return [
      {
        ...common,
        hostPath: Source,
        propagation,
        ...(made.nonRecursive === true ? { recursive: false } : {}),
        // What is mounted below it, too, since Docker 25.
        ...(deep ? { recursiveReadOnly: true } : {}),
      },
    ];
  }
  const folder = await context.volumes.mount(Name ?? '', id);
  const hostPath = made.subpath === undefined ? folder : await folderWithin(folder, made.subpath);
  return [{ ...common, hostPath }];
}

async function propagationOf({ Propagation, Source, made }: MountPoint): Promise<NonNullable<Mount['propagation']>> {
  if (made.propagates === 'ifPossible') {
    const mount = mountHolding(await realpath(Source));
    if (!mount?.propagation.some((flag) => /^(?:shared|master):/.test(flag))) return 'rprivate';
  }
  return (Propagation === '' ? 'rprivate' : Propagation) as NonNullable<Mount['propagation']>;
}

/** Images that a container mounts; the engine holds them from its creation on. */
export function imageMounts(points: readonly MountPoint[]): Mount[] {
  return points.flatMap(({ Type, Destination, made: { image, subpath } }) =>
    Type !== 'image' || image === undefined
      ? []
      : [{ image, hostPath: subpath === undefined ? '/' : `/${subpath}`, containerPath: Destination, readOnly: true }],
  );
}

/** A folder within a volume; its links lead nowhere else. */
export async function folderWithin(folder: string, subpath: string): Promise<string> {
  const root = await realpath(folder);
  const path = await realpath(join(root, subpath)).catch((error: unknown) => {
    const wanted = join(folder, subpath);
    throw new WherryError('invalid', `cannot access path ${wanted}: lstat ${wanted}: no such file or directory`, {
      cause: error,
    });
  });
  if (path !== root && !path.startsWith(`${root}/`))
    throw new WherryError(
      'internal',
      `path concatenation escapes the base directory, base: ${folder}, subpath: ${subpath}`,
    );
  return path;
}

export async function closeMounts(context: DockerContext, record: ContainerRecord): Promise<void> {
  for (const { Type, Name } of record.mounts)
    if (Type === 'volume' && Name !== undefined) await context.volumes.unmount(Name, record.id);
}

/** Tells of the volumes that a start has mounted: in dockerd after its networks. */
export function tellMounted({ events }: DockerContext, { id, mounts }: ContainerRecord): void {
  for (const { Type, Name, Driver, Destination, Propagation, RW } of mounts) {
    if (Type !== 'volume' || Name === undefined) continue;
    const facts = { container: id, destination: Destination, driver: Driver ?? 'local', propagation: Propagation };
    events.emit('volume', 'mount', Name, { ...facts, 'read/write': String(RW) });
  }
}

export function tellUnmounted({ events }: DockerContext, { id, mounts }: ContainerRecord): void {
  for (const { Type, Name, Driver } of mounts)
    if (Type === 'volume' && Name !== undefined)
      events.emit('volume', 'unmount', Name, { container: id, driver: Driver ?? 'local' });
}
