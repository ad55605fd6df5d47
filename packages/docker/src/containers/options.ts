import type { Clock, Logger, Random } from '@wherry/base';
import type { ImageLibrary } from '@wherry/images';
import type { ContainerNetworks } from '@wherry/network';
import type { ImageConfig, Platform } from '@wherry/oci';
import type { ContainerEngine, UserMappings } from '@wherry/runtime';
import type { NamedVolumes } from '@wherry/volumes';
import type { HostFacts } from '../config/resources.ts';
import type { EventLog } from '../events.ts';
import type { ContainerFiles, OpenContainerFiles } from '../files/container-files.ts';
import type { NanoClock } from '../times.ts';

/** What a container of an image runs as. */
export type ImageSettings = NonNullable<ImageConfig['config']>;

export interface DockerContainersOptions {
  /** Survives a reboot: a folder for each container. */
  readonly rootDirectory: string;
  readonly engine: ContainerEngine;
  readonly networks: ContainerNetworks;
  readonly volumes: NamedVolumes;
  readonly images: Pick<ImageLibrary, 'details' | 'find' | 'summaries' | 'commitLayer' | 'assemble' | 'holdLayers'>;
  readonly events: EventLog;
  /** Makes what works on containers' files. */
  readonly files: (open: OpenContainerFiles) => ContainerFiles;
  /** What Dockerfile instructions make of an image's config (`commit --change`). Throws `invalid`. */
  readonly applyChanges: (config: ImageSettings, changes: readonly string[]) => ImageSettings;
  /** Names of the OCI runtimes that `HostConfig.Runtime` may have; the first one is the default. */
  readonly runtimes: readonly string[];
  /** Users that new containers have for theirs, unless they ask for the machine's (`--userns host`). */
  readonly users?: UserMappings | undefined;
  /** Default: this machine. */
  readonly host?: Partial<HostView> | undefined;
  readonly clock?: Clock | undefined;
  readonly now?: NanoClock | undefined;
  readonly random?: Random | undefined;
  readonly log?: Logger | undefined;
}

/** What of the machine is looked at. */
export interface HostView extends HostFacts {
  readonly hostname: string;
  readonly cgroupVersion: 1 | 2;
  readonly memoryBytes: number;
  /** Content of the host's resolv.conf. */
  readonly resolvConf: () => string;
  readonly exists: (path: string) => boolean;
  /** What images are expected to be for, with the processor's level. */
  readonly platform: Platform;
  /** Whether the kernel can make a mount read-only with what is mounted below it (mount_setattr(2), Linux 5.12). */
  readonly recursiveReadOnly: boolean;
  /** Whether profiles and labels of containers mean anything here; where not, they are passed over. */
  readonly apparmor: boolean;
  readonly selinux: boolean;
}
