import { closeSync } from 'node:fs';
import { codeOf } from '@wherry/base';
import { openBeneath } from '@wherry/linux';
import type { OpenRootfs } from '@wherry/runtime';
import { tmpfsPoints } from '../config/mount-specs.ts';
import type { ContainerView, ViewMount } from '../files/container-files.ts';
import { fileMounts, folderWithin } from '../lifecycle/volume-mounts.ts';
import type { Container } from './container.ts';
import type { DockerContext } from './context.ts';

const pathOnly = 0o10000000; // O_PATH

/** Opens a container's root for work on its files, with its volumes mounted on the host while it is open. */
export async function openContainerView(context: DockerContext, { id, record }: Container): Promise<ContainerView> {
  // A name of its own: the container's own hold of a volume's file system ends with its run.
  const user = `${id}-files-${context.random.hex(8)}`;
  const volumes: string[] = [];
  const descriptors: number[] = [];
  const close = async (): Promise<void> => {
    for (const descriptor of descriptors.splice(0)) closeSync(descriptor);
    for (const name of volumes.splice(0)) await context.volumes.unmount(name, user);
  };
  try {
    const mounts: ViewMount[] = [];
    for (const { Type, Name, Source, Destination, RW, made } of record.mounts) {
      if (Type !== 'bind' && Type !== 'volume') continue;
      let hostPath = Source;
      if (Type === 'volume' && Name !== undefined) {
        hostPath = await context.volumes.mount(Name, user);
        volumes.push(Name);
        if (made.subpath !== undefined) hostPath = await folderWithin(hostPath, made.subpath);
      }
      mounts.push({ containerPath: Destination, hostPath, readOnly: !RW });
    }
    for (const { hostPath, containerPath } of fileMounts(context, record))
      mounts.push({ containerPath, hostPath, readOnly: false });
    const root = await context.engine.openRootfs(id);
    const ofTheRun = record.mounts.filter(({ Type }) => Type === 'tmpfs' || Type === 'image');
    for (const point of [...tmpfsPoints(record.host), ...ofTheRun]) {
      const descriptor = openMounted(root, point.Destination);
      if (descriptor === undefined) continue;
      descriptors.push(descriptor);
      mounts.push({
        containerPath: point.Destination,
        hostPath: `/proc/self/fd/${descriptor}`,
        readOnly: !point.RW,
      });
    }
    const depth = (path: string): number => path.split('/').length;
    mounts.sort((a, b) => depth(a.containerPath) - depth(b.containerPath));
    return {
      root,
      mounts,
      readOnly: record.host.ReadonlyRootfs,
      user: record.config.User,
      [Symbol.asyncDispose]: async () => {
        root[Symbol.dispose]();
        await close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** What a container has mounted only while it runs, in memory and of images: its processes alone have it. */
function openMounted({ processRoot }: OpenRootfs, path: string): number | undefined {
  if (processRoot === undefined) return undefined;
  try {
    return openBeneath(processRoot, path, { flags: pathOnly });
  } catch (error) {
    // It may have ended by now.
    if (codeOf(error) === undefined) throw error;
    return undefined;
  }
}
