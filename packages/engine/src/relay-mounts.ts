import { mkdirSync, type Stats, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { bindMount, insideMountNamespace, makePrivate, mountsBelow, unmountBind } from '@wherry/linux';
import type { RuntimeSpec } from '@wherry/oci';
import type { EngineContext } from './context.ts';
import { mappedFolder } from './mapped-overlay.ts';

const relayFolder = 'relay';

/**
 * Where the runtime has a mount namespace of its own, a volume mounted after that was made is not
 * visible in it; where the container has users of its own, few folders of the machine let them through. So for
 * the time of the creation each source that is not seen there is bound into the run folder, whose mounts travel.
 * Gives the specification with the sources exchanged, and what takes the binds back.
 */
export function relayMounts(
  context: EngineContext,
  id: string,
  spec: RuntimeSpec,
): { readonly spec: RuntimeSpec } & Disposable {
  const namespace = context.runtimeNamespace.path;
  const hasUsers = spec.linux.namespaces.some(({ type }) => type === 'user');
  if (namespace === undefined && !hasUsers) return { spec, [Symbol.dispose]: () => undefined };
  const folder = join(context.paths.container(id), relayFolder);
  const made: string[] = [];
  const undo = (): void => {
    dropBinds(made.splice(0), namespace);
  };
  try {
    const seen = namespace === undefined || hasUsers ? new Set() : sameFilesInside(namespace, spec);
    const mounts = spec.mounts.map((mount, index) => {
      if (mount.type !== 'bind' || mount.source === undefined || mount.source.startsWith(context.paths.sandboxes))
        return mount;
      if (seen.has(mount.source)) return mount;
      mkdirSync(folder, { recursive: true });
      const target = join(folder, String(index));
      if (statSync(mount.source).isDirectory()) mkdirSync(target, { recursive: true });
      else writeFileSync(target, '');
      bindMount(mount.source, target, { recursive: mount.options?.includes('rbind') === true });
      made.push(target);
      return { ...mount, source: target };
    });
    return { spec: { ...spec, mounts }, [Symbol.dispose]: undo };
  } catch (error) {
    undo();
    throw error;
  }
}

/** Sources that are one file here and there. Folders are left out: mounts below them may differ. */
function sameFilesInside(namespace: string, { mounts }: RuntimeSpec): ReadonlySet<string> {
  const here = new Map<string, Stats>();
  for (const { type, source } of mounts) {
    if (type !== 'bind' || source === undefined) continue;
    const found = statSync(source, { throwIfNoEntry: false });
    if (found !== undefined && !found.isDirectory()) here.set(source, found);
  }
  if (here.size === 0) return new Set();
  return insideMountNamespace(namespace, () => {
    const same = ([path, { dev, ino }]: [string, Stats]): boolean => {
      const there = statSync(path, { throwIfNoEntry: false });
      return there?.dev === dev && there.ino === ino;
    };
    return new Set([...here].filter(same).map(([path]) => path));
  });
}

/** Takes back the binds that a crash left in the middle of creations, those of mapped layers too. */
export function releaseRelays({ paths, runtimeNamespace }: EngineContext): void {
  const left = new Set<string>();
  for (const { mountPoint } of mountsBelow(paths.containers)) {
    const [id = '', folder = '', name = ''] = relative(paths.containers, mountPoint).split('/');
    if ([relayFolder, mappedFolder, 'users'].includes(folder)) left.add(join(paths.containers, id, folder, name));
  }
  dropBinds([...left], runtimeNamespace.path);
}

/**
 * Unmounts binds with what came along below them, in both namespaces. Made private first: the end of a mount travels to
 * wherever its like is mounted, and what came along (all of the machine, with `-v /:/host`) is still in use where it
 * came from.
 */
function dropBinds(paths: readonly string[], namespace: string | undefined): void {
  if (paths.length === 0) return;
  for (const path of paths) makePrivate(path);
  if (namespace !== undefined)
    insideMountNamespace(namespace, () => {
      for (const path of paths) unmountBind(path);
    });
  for (const path of paths) unmountBind(path);
}
