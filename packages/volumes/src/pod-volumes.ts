import { chmod, lstat, mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { parseQuantity, quantityValue, type V1Pod, type V1Volume } from '@wherry/api';
import { type Clock, errnoOf, KeyedMutex, type Logger, messageOf, WherryError } from '@wherry/base';
import { mountTmpfs } from '@wherry/linux';
import type { Mount } from '@wherry/runtime';
import { writeVolumeAtomically } from './atomic-writer.ts';
import { containerMounts, type MountRequestOfContainer } from './container-mounts.ts';
import { isApiVolume, volumeContents } from './contents.ts';
import type { DownwardFacts } from './downward-api.ts';
import { prepareHostPath } from './host-path.ts';
import { podFolder, volumeFolder } from './layout.ts';
import type { MountedVolume, MountedVolumes } from './mounted-volumes.ts';
import type { VolumeObjects } from './objects.ts';
import { applyGroup, type GroupChangePolicy } from './ownership.ts';
import { removePodFolder } from './removal.ts';
import { TokenCache } from './tokens.ts';

/** The volumes of the pods of one node. */
export interface PodVolumes {
  /**
   * Makes all volumes of a pod. Idempotent, also after a restart. Rejects with upstream's words
   * (`MountVolume.SetUp failed for volume "x" : …`) and the code of the cause.
   */
  mount(pod: V1Pod, facts: DownwardFacts): Promise<MountedVolumes>;
  /** Writes what changed in the volumes that are made of API objects. */
  refresh(pod: V1Pod, facts: DownwardFacts): Promise<MountedVolumes>;
  /** The mounts of one container; makes `subPath`s. */
  containerMounts(request: MountRequestOfContainer): Promise<readonly Mount[]>;
  /** Unmounts and removes everything of a pod. Idempotent; needs no pod object. */
  remove(podUid: string): Promise<void>;
  /** The pod's own folder, `<root>/<uid>`, made if needed. */
  podFolder(podUid: string): Promise<string>;
}

/** Settings of `createPodVolumes`. */
export interface PodVolumesOptions {
  /** Absolute; each pod has a folder in it. Must lie on a mount that shares its mounts with the runtime (see `sharePropagation`). */
  readonly rootDirectory: string;
  readonly objects: VolumeObjects;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Volumes below a folder of the host, by mount(2) and plain files. */
export function createPodVolumes({ rootDirectory, objects, clock, log }: PodVolumesOptions): PodVolumes {
  const tokens = new TokenCache(objects, clock);
  const locks = new KeyedMutex();

  const makeOne = async (pod: V1Pod, volume: V1Volume, facts: DownwardFacts): Promise<Made> => {
    const fsGroup = pod.spec?.securityContext?.fsGroup;
    const policy = pod.spec?.securityContext?.fsGroupChangePolicy as GroupChangePolicy | undefined;
    if (volume.hostPath) return made(await prepareHostPath(volume.hostPath), false);
    if (volume.persistentVolumeClaim || volume.ephemeral) {
      const claim = volume.persistentVolumeClaim?.claimName ?? `${pod.metadata?.name}-${volume.name}`;
      const { path, readOnly } = await claimedPath(objects, pod, claim);
      if (fsGroup !== undefined && !readOnly) await applyGroup(path, fsGroup, { policy });
      return made(path, readOnly || volume.persistentVolumeClaim?.readOnly === true);
    }
    const folder = volumeFolder(rootDirectory, pod.metadata?.uid ?? '', volume);
    if (volume.emptyDir) {
      if (await makeEmptyDir(folder, volume.emptyDir)) {
        if (fsGroup !== undefined) await applyGroup(folder, fsGroup, { policy });
      }
      return made(folder, false);
    }
    if (!isApiVolume(volume))
      throw new WherryError('unsupported', `the type of volume "${volume.name}" is not supported`);
    const { payload, refreshAt } = await volumeContents(volume, { pod, objects, tokens, facts });
    await makeFolder(folder, volume.configMap === undefined ? { mode: 0o777 } : undefined);
    await writeVolumeAtomically(folder, payload, { clock, gid: fsGroup });
    return { volume: { hostPath: folder, readOnly: true }, refreshAt };
  };

  const makeAll = (pod: V1Pod, facts: DownwardFacts, chosen: (volume: V1Volume) => boolean): Promise<MountedVolumes> =>
    locks.run(pod.metadata?.uid ?? '', async () => {
      const volumes = new Map<string, MountedVolume>();
      let refreshAt: number | undefined;
      const made = await Promise.all(
        (pod.spec?.volumes ?? []).filter(chosen).map(async (volume) => {
          try {
            return [volume.name, await makeOne(pod, volume, facts)] as const;
          } catch (error) {
            throw mountError(volume, error);
          }
        }),
      );
      for (const [name, one] of made) {
        volumes.set(name, one.volume);
        if (one.refreshAt !== undefined) refreshAt = Math.min(refreshAt ?? Number.POSITIVE_INFINITY, one.refreshAt);
      }
      return { volumes, refreshAt };
    });

  return {
    mount: (pod, facts) => makeAll(pod, facts, () => true),
    refresh: (pod, facts) => makeAll(pod, facts, isApiVolume),
    containerMounts: async (request) => containerMounts(rootDirectory, request),
    podFolder: async (podUid) => {
      const folder = podFolder(rootDirectory, podUid);
      await mkdir(folder, { recursive: true, mode: 0o750 });
      return folder;
    },
    remove: (podUid) =>
      locks.run(podUid, async () => {
        tokens.forget(podUid);
        await removePodFolder(podFolder(rootDirectory, podUid));
        log.debug('removed the volumes of a pod', { uid: podUid });
      }),
  };
}

interface Made {
  readonly volume: MountedVolume;
  readonly refreshAt?: number | undefined;
}

function made(hostPath: string, readOnly: boolean): Made {
  return { volume: { hostPath, readOnly } };
}

function mountError(volume: V1Volume, error: unknown): WherryError {
  const code = (error as WherryError).name === 'WherryError' ? (error as WherryError).code : 'internal';
  const message = `MountVolume.SetUp failed for volume ${JSON.stringify(volume.name)} : ${messageOf(error)}`;
  return new WherryError(code, message, { cause: error });
}

/** Gives whether the folder is new. */
async function makeEmptyDir(folder: string, source: NonNullable<V1Volume['emptyDir']>): Promise<boolean> {
  if (source.medium === 'Memory') {
    const sizeBytes = source.sizeLimit === undefined ? undefined : quantityValue(parseQuantity(source.sizeLimit));
    return makeFolder(folder, { mode: 0o777, sizeBytes: sizeBytes === 0 ? undefined : sizeBytes });
  }
  if (source.medium?.startsWith('HugePages'))
    throw new WherryError('unsupported', `emptyDir medium ${source.medium} is not supported`);
  const fresh = await makeFolder(folder, undefined);
  if (fresh) await chmod(folder, 0o777);
  return fresh;
}

/** Makes the folder of a volume, with a tmpfs on it where asked for. Gives whether it is new. */
async function makeFolder(
  folder: string,
  tmpfs: { readonly mode: number; readonly sizeBytes?: number | undefined } | undefined,
): Promise<boolean> {
  await mkdir(dirname(folder), { recursive: true, mode: 0o750 });
  let fresh = true;
  try {
    await mkdir(folder, { mode: 0o755 });
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
    fresh = false;
  }
  if (tmpfs === undefined) return fresh;
  // A folder without its mount is left by a reboot or a crash between the two calls.
  if (!fresh && (await lstat(folder)).dev !== (await lstat(dirname(folder))).dev) return false;
  mountTmpfs(folder, { mode: tmpfs.mode, sizeBytes: tmpfs.sizeBytes });
  return true;
}

/** The host folder behind a bound claim: PersistentVolumes of type hostPath and local. */
async function claimedPath(
  objects: VolumeObjects,
  pod: V1Pod,
  claimName: string,
): Promise<{ readonly path: string; readonly readOnly: boolean }> {
  const claim = await objects.persistentVolumeClaim(pod.metadata?.namespace ?? '', claimName);
  if (claim === undefined)
    throw new WherryError('notFound', `persistentvolumeclaim ${JSON.stringify(claimName)} not found`);
  const volumeName = claim.spec?.volumeName;
  if (!volumeName || claim.status?.phase !== 'Bound')
    throw new WherryError('unavailable', `persistentvolumeclaim ${JSON.stringify(claimName)} is not bound`);
  const volume = await objects.persistentVolume(volumeName);
  if (volume === undefined)
    throw new WherryError('notFound', `persistentvolume ${JSON.stringify(volumeName)} not found`);
  const modes = claim.spec?.accessModes ?? [];
  const readOnly = modes.length > 0 && modes.every((mode) => mode === 'ReadOnlyMany');
  if (volume.spec?.hostPath) return { path: await prepareHostPath(volume.spec.hostPath), readOnly };
  if (volume.spec?.local)
    return { path: await prepareHostPath({ path: volume.spec.local.path, type: 'Directory' }), readOnly };
  throw new WherryError('unsupported', `persistentvolume ${JSON.stringify(volumeName)} is neither hostPath nor local`);
}
