import { join } from 'node:path';
import type { V1Volume } from '@wherry/api';
import { WherryError } from '@wherry/base';

/** How a volume is provided; the names of folders are upstream's plug-in names. */
export type VolumeSort = 'emptyDir' | 'hostPath' | 'api' | 'claim';

const folders: Readonly<Record<string, string>> = {
  emptyDir: 'kubernetes.io~empty-dir',
  configMap: 'kubernetes.io~configmap',
  secret: 'kubernetes.io~secret',
  downwardAPI: 'kubernetes.io~downward-api',
  projected: 'kubernetes.io~projected',
};

/** A name that becomes one element of a path. Throws `invalid` for anything else. */
export function pathElement(name: string): string {
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name) || Buffer.byteLength(name) > 255)
    throw new WherryError('invalid', `${JSON.stringify(name)} cannot name a folder`);
  return name;
}

/** The folder of everything that belongs to a pod: `<root>/<uid>`. */
export function podFolder(root: string, podUid: string): string {
  return join(root, pathElement(podUid));
}

/** Where the files of a volume lie; only for the sorts that have a folder of their own. Throws `unsupported` for others. */
export function volumeFolder(root: string, podUid: string, volume: V1Volume): string {
  const source = Object.keys(volume).find((key) => folders[key] !== undefined && volume[key as keyof V1Volume]);
  const folder = source && folders[source];
  if (folder === undefined)
    throw new WherryError('unsupported', `volume ${JSON.stringify(volume.name)} is of a type that is not supported`);
  return join(podFolder(root, podUid), 'volumes', folder, pathElement(volume.name));
}

/** Where a container's `subPath` mounts are staged: `<root>/<uid>/volume-subpaths/<volume>/<container>/<index>`. */
export function subPathTarget(root: string, podUid: string, volume: string, container: string, index: number): string {
  return join(podFolder(root, podUid), 'volume-subpaths', pathElement(volume), pathElement(container), String(index));
}
