import type { Readable } from 'node:stream';
import type { OpenRootfs } from '@wherry/runtime';
import type { PathStat } from '../containers/containers.ts';

/** A container whose files are worked on: its whole id, and how the caller named it, for messages. */
export interface FileTarget {
  readonly id: string;
  readonly reference: string;
}

/** A container's files: `docker cp`, `diff` and `export`. Failures are in dockerd's words. */
export interface ContainerFiles {
  /** Kind 0 changed, 1 added, 2 deleted. */
  changes(target: FileTarget): Promise<readonly { readonly Path: string; readonly Kind: 0 | 1 | 2 }[]>;
  /** A tar archive of the root file system, without volumes. */
  export(target: FileTarget): Promise<Readable>;
  statPath(target: FileTarget, path: string): Promise<PathStat>;
  getArchive(target: FileTarget, path: string): Promise<{ readonly stat: PathStat; readonly archive: Readable }>;
  putArchive(
    target: FileTarget,
    path: string,
    archive: Readable,
    options: { readonly noOverwriteDirNonDir: boolean; readonly copyUidGid: boolean },
  ): Promise<void>;
}

/** Opens a container's files, whether it runs or not. */
export type OpenContainerFiles = (containerId: string) => Promise<ContainerView>;

/** A container's root and what is mounted in it; held until it is disposed. */
export interface ContainerView extends AsyncDisposable {
  readonly root: OpenRootfs;
  /**
   * Bind mounts, volumes and the files of its network, shallow ones first; of one that runs also what it has in memory
   * and of images.
   */
  readonly mounts: readonly ViewMount[];
  /** `--read-only`: docker refuses to copy into it. */
  readonly readOnly: boolean;
  /** `UID[:GID]` of the container's config, to which `copyUidGid` gives what is copied in. */
  readonly user: string;
}

/** A folder or file of the host that stands at a path of the container. */
export interface ViewMount {
  readonly containerPath: string;
  readonly hostPath: string;
  readonly readOnly: boolean;
}
