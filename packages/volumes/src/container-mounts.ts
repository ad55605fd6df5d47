import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { V1Container, V1VolumeMount } from '@wherry/api';
import { messageOf, WherryError } from '@wherry/base';
import { unmountBind } from '@wherry/linux';
import type { Mount } from '@wherry/runtime';
import { subPathTarget } from './layout.ts';
import type { MountedVolumes } from './mounted-volumes.ts';
import { bindSubPath } from './sub-path.ts';

/** What one container gets to see. */
export interface MountRequestOfContainer {
  readonly podUid: string;
  readonly container: V1Container;
  readonly mounted: MountedVolumes;
  /** Expands `$(NAME)` in `subPathExpr`; throws for a variable that is not there. */
  readonly expand: (text: string) => string;
}

const propagations: Readonly<Record<string, Mount['propagation']>> = {
  None: 'private',
  HostToContainer: 'rslave',
  Bidirectional: 'rshared',
};

/** The runtime's mounts of a container's `volumeMounts`. */
export async function containerMounts(root: string, request: MountRequestOfContainer): Promise<readonly Mount[]> {
  const mounts: Mount[] = [];
  for (const [index, mount] of (request.container.volumeMounts ?? []).entries()) {
    const volume = request.mounted.volumes.get(mount.name);
    if (volume === undefined)
      throw new WherryError(
        'invalid',
        `cannot find volume ${JSON.stringify(mount.name)} to mount into container ${JSON.stringify(request.container.name)}`,
      );
    const subPath = mount.subPathExpr ? request.expand(mount.subPathExpr) : mount.subPath;
    const hostPath = subPath ? await stage(root, request, mount, index, subPath) : volume.hostPath;
    const readOnly = mount.readOnly === true || volume.readOnly;
    mounts.push({
      hostPath,
      containerPath: mount.mountPath.startsWith('/') ? mount.mountPath : `/${mount.mountPath}`,
      readOnly,
      propagation: propagations[mount.mountPropagation ?? 'None'] ?? 'private',
      ...(mount.recursiveReadOnly === 'Enabled' ? { recursiveReadOnly: true } : {}),
    });
  }
  return mounts;
}

async function stage(
  root: string,
  { podUid, container, mounted }: MountRequestOfContainer,
  mount: V1VolumeMount,
  index: number,
  subPath: string,
): Promise<string> {
  const volume = mounted.volumes.get(mount.name);
  if (volume === undefined) throw new WherryError('internal', `volume ${mount.name} vanished`);
  const target = subPathTarget(root, podUid, mount.name, container.name, index);
  await mkdir(dirname(target), { recursive: true, mode: 0o750 });
  // A restarted container sees the volume as it is now; the old mount lives on in the old container.
  unmountBind(target);
  try {
    bindSubPath(volume.hostPath, subPath, target, { create: !volume.readOnly });
  } catch (error) {
    throw new WherryError(
      'invalid',
      `failed to prepare subPath for volumeMount ${JSON.stringify(mount.name)} of container ${JSON.stringify(container.name)}: ${messageOf(error)}`,
      { cause: error },
    );
  }
  return target;
}
