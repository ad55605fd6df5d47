import type { Clock, Logger, Random } from '@wherry/base';
import type { Builder } from '@wherry/builder';
import type { DockerContainers, EventLog } from '@wherry/docker';
import type { ImageLibrary, ImageStore } from '@wherry/images';
import type { ContainerNetworks } from '@wherry/network';
import type { NamedVolumes } from '@wherry/volumes';
import type { SystemFacts } from './system/facts.ts';

/** What the Docker Engine API stands on. The caller keeps all of it: disposing the API disposes none. */
export interface EngineApiOptions {
  readonly containers: DockerContainers;
  readonly events: EventLog;
  readonly networks: Pick<ContainerNetworks, 'create' | 'find' | 'list' | 'remove' | 'endpointsOf'>;
  readonly volumes: NamedVolumes;
  readonly images: EngineImages;
  /** Without one `POST /build` says that there is none. */
  readonly builder?: Builder | undefined;
  /** Asked at each `/info` and `/version`. */
  readonly facts: () => Promise<SystemFacts>;
  /** Called when a client connects, before it says what it wants. */
  readonly onClient?: (() => void) | undefined;
  /** An existing folder for build contexts; what a crash left in it is removed at start. */
  readonly temporaryDirectory: string;
  readonly log: Logger;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
}

/** The images as the API needs them: the store's own calls and those of the library. */
export type EngineImages = Omit<ImageLibrary, 'commitLayer' | 'assemble' | 'holdLayers'> &
  Pick<ImageStore, 'load' | 'importImage'>;
