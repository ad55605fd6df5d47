import { chown, mkdir, stat } from 'node:fs/promises';
import { dirname, posix } from 'node:path';
import { errnoOf, messageOf, WherryError } from '@wherry/base';
import { rootOf, type UserMappings } from '@wherry/runtime';
import { mountPointOf, parseBind, parseVolumesFrom, tmpfsPoints } from '../config/mount-specs.ts';
import type { ContainerConfig, HostConfig, MountPoint } from '../config/types.ts';
import type { Container } from './container.ts';
import type { DockerContext } from './context.ts';

/** All mount points of a new container, in dockerd's order: later ones take the place of `--volumes-from`. */
export function plannedMounts(context: DockerContext, config: ContainerConfig, host: HostConfig): MountPoint[] {
  const points = new Map<string, MountPoint>();
  for (const entry of host.VolumesFrom ?? []) {
    const { container, mode } = parseVolumesFrom(entry);
    for (const point of sourceOf(context, container).record.mounts) {
      const readOnly = mode.split(',').includes('ro') || !point.RW;
      const mounted = { ...point, RW: !readOnly, Mode: '' };
      points.set(point.Destination, { ...mounted, made: { ...point.made, anonymous: false, noCopy: true } });
    }
  }
  const taken = new Set<string>();
  const duplicate = (path: string): WherryError => new WherryError('invalid', `Duplicate mount point: ${path}`);
  const add = (given: MountPoint): void => {
    const point = aroundDaemon(given, context.rootDirectory);
    if (taken.has(point.Destination)) throw duplicate(point.Destination);
    taken.add(point.Destination);
    points.set(point.Destination, point);
  };
  const tmpfs = new Set(tmpfsPoints(host).map(({ Destination }) => Destination));
  for (const point of (host.Binds ?? []).map(parseBind)) {
    if (tmpfs.has(point.Destination)) throw duplicate(point.Destination);
    add(point);
  }
  for (const mount of host.Mounts ?? []) add(mountPointOf(mount));
  // Only `-v` is checked against them; of `--mount` they take the place.
  for (const path of tmpfs) {
    points.delete(path);
    taken.add(path);
  }
  for (const path of Object.keys(config.Volumes ?? {})) {
    // Of an image's volumes dockerd checks nothing: `VOLUME [/x]` without quotes is a name with brackets.
    const point = { ...parseBind('/volume'), Destination: posix.resolve('/', path) };
    if (point.Destination === '/') throw new WherryError('invalid', "invalid specification: destination can't be '/'");
    if (!points.has(point.Destination) && !taken.has(point.Destination)) points.set(point.Destination, point);
  }
  return [...points.values()];
}

/** Binds of what the daemon's folder is in follow the machine's mounts: else they would keep those of other containers. */
function aroundDaemon(point: MountPoint, folder: string): MountPoint {
  const around = point.Source === '/' || folder.startsWith(`${point.Source}/`);
  if (point.Type !== 'bind' || point.made.propagates !== 'byDefault' || !around) return point;
  return { ...point, Propagation: 'rslave', made: { ...point.made, propagates: 'ifPossible' } };
}

/** A container that is named wrongly makes the request wrong: clients would pull the image where it is not found. */
function sourceOf({ registry }: DockerContext, reference: string): Container {
  if (reference === '') throw new WherryError('invalid', 'invalid name or ID supplied: ""');
  try {
    return registry.find(reference);
  } catch (error) {
    throw new WherryError('invalid', messageOf(error), { cause: error });
  }
}

/** Makes and holds the volumes of a new container. Undone by `releaseVolumes`. */
export async function makeVolumes(
  context: DockerContext,
  id: string,
  host: HostConfig,
  points: readonly MountPoint[],
): Promise<MountPoint[]> {
  const made: MountPoint[] = [];
  for (const point of points) {
    if (point.Type === 'image') made.push(await withImage(context, point));
    else if (point.Type !== 'volume') made.push(point);
    if (point.Type !== 'volume') continue;
    const volume = await makeVolume(context, id, host, point);
    made.push({ ...point, Name: volume.name, Source: volume.mountpoint, Driver: volume.driver });
  }
  return made;
}

/** Throws `notFound`. */
async function withImage({ images }: DockerContext, point: MountPoint): Promise<MountPoint> {
  const { id, folders } = await images.details(point.Source);
  return { ...point, Source: folders[0] ?? '', made: { ...point.made, image: id } };
}

async function makeVolume(
  context: DockerContext,
  id: string,
  host: HostConfig,
  point: MountPoint,
): Promise<{ readonly name: string; readonly mountpoint: string; readonly driver: string }> {
  const { volumes, events } = context;
  const spec = (host.Mounts ?? []).find(
    (mount) => mount.Type === 'volume' && mountPointOf(mount).Destination === point.Destination,
  );
  const config = spec?.VolumeOptions?.DriverConfig;
  const driver = config?.Name || host.VolumeDriver || undefined;
  const known = point.Name === undefined ? undefined : volumes.find(point.Name);
  if (known !== undefined && (driver === undefined || driver === known.driver)) {
    await volumes.hold(known.name, id);
    return known;
  }
  const volume = await volumes.create({
    name: point.Name,
    driver,
    options: config?.Options,
    labels: spec?.VolumeOptions?.Labels,
    anonymous: point.made.anonymous === true,
    user: id,
  });
  events.emit('volume', 'create', volume.name, { driver: volume.driver });
  return volume;
}

export async function releaseVolumes({ volumes }: DockerContext, id: string): Promise<void> {
  for (const { name, anonymous } of volumes.list()) {
    if (!volumes.users(name).includes(id)) continue;
    await volumes.release(name, id);
    if (anonymous && volumes.users(name).length === 0) await volumes.remove(name);
  }
}

/** What the image has where a volume is, goes into a new volume. */
export async function copyUpVolumes(context: DockerContext, id: string, points: readonly MountPoint[]): Promise<void> {
  const wanted = points.filter(
    ({ Type, made }) => Type === 'volume' && made.noCopy !== true && made.subpath === undefined,
  );
  if (wanted.length === 0) return;
  using root = await context.engine.openRootfs(id);
  for (const { Name, Destination } of wanted)
    if (Name !== undefined) await context.volumes.copyUp(Name, root.path, Destination);
}

/** `-v /path` makes the host's folder where it is not there, at each start; it is its root's. */
export async function makeBindSources(
  points: readonly MountPoint[],
  made: ReadonlySet<string>,
  users: UserMappings | undefined,
): Promise<void> {
  for (const { Type, Source } of points) {
    if (Type !== 'bind' || !made.has(Source)) continue;
    const there = await stat(Source).then(
      () => true,
      () => false,
    );
    if (there) continue;
    try {
      const first = await mkdir(Source, { recursive: true, mode: 0o755 });
      if (users !== undefined && first !== undefined) await giveTo(users, first, Source);
    } catch (error) {
      // Below a file: the start tells.
      if (errnoOf(error) === 'ENOTDIR') continue;
      const why = `error while creating mount source path '${Source}': ${messageOf(error)}`;
      throw new WherryError('internal', why, { cause: error });
    }
  }
}

/** Folders from one to another below it. */
async function giveTo(users: UserMappings, first: string, last: string): Promise<void> {
  for (let path = last; path.length >= first.length; path = dirname(path)) await chown(path, ...rootOf(users));
}

/** Host paths that are made when they are missing: those of `-v`, and `bind-create-src`. */
export function creatableSources(host: HostConfig): ReadonlySet<string> {
  const sources = new Set<string>();
  for (const bind of host.Binds ?? []) sources.add(parseBind(bind).Source);
  for (const mount of host.Mounts ?? [])
    if (mount.BindOptions?.CreateMountpoint === true) sources.add(mountPointOf(mount).Source);
  return sources;
}
