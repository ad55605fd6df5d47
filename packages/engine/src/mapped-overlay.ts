import { chownSync, mkdirSync, rmdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { bindMountMapped, mountOverlay, unmountAll } from '@wherry/linux';

/** In a container's folder. */
export const mappedFolder = 'mapped';

export interface MappedOverlayRequest {
  /** With `upper` and `work` in it. */
  readonly layer: string;
  readonly lowerDirectories: readonly string[];
  /** The user namespace to whose users the files belong. */
  readonly users: string;
  readonly target: string;
  /** For mounts that are there only while the overlay is made. */
  readonly folder: string;
}

/**
 * Mounts an overlay of layers with mapped owners: overlayfs has no map of its own, but its lower layers may (Linux ≥
 * 5.19). The writable one may not, since the kernel makes its work folder as a user outside of the map: it holds owners
 * as the machine sees them.
 */
export function mountMappedOverlay({ layer, lowerDirectories, users, target, folder }: MappedOverlayRequest): void {
  const staging = join(folder, mappedFolder);
  const mapped: string[] = [];
  const map = (source: string): string => {
    const path = join(staging, String(mapped.length));
    mkdirSync(path, { recursive: true });
    bindMountMapped(source, path, users);
    mapped.push(path);
    return path;
  };
  try {
    const lower = lowerDirectories.map(map);
    const upperDirectory = join(layer, 'upper');
    const top = statSync(lower[0] as string);
    chownSync(upperDirectory, top.uid, top.gid);
    mountOverlay({ lowerDirectories: lower, upperDirectory, workDirectory: join(layer, 'work'), target });
  } finally {
    // The overlay has mounts of its own of each.
    for (const path of mapped) {
      unmountAll(path);
      rmdirSync(path); // not recursively: were it still mounted, a layer would be lost
    }
  }
}
