/** A volume that containers can be given. */
export interface MountedVolume {
  /** Folder, or for a hostPath also a file, socket or device. */
  readonly hostPath: string;
  /** Whatever the mount says, the container may not write. */
  readonly readOnly: boolean;
}

/** All volumes of a pod by name, and when (ms) `refresh` is due because of tokens. */
export interface MountedVolumes {
  readonly volumes: ReadonlyMap<string, MountedVolume>;
  readonly refreshAt: number | undefined;
}
