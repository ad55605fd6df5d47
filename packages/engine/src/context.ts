import type { Clock, JournaledRecords, Logger, Random } from '@wherry/base';
import type { RootfsSource } from '@wherry/images';
import type { Cgroups } from '@wherry/linux';
import type { PodNetwork } from '@wherry/network';
import type { InitLayers } from './init-layers.ts';
import type { OciRuntimes } from './runtime/oci-runtimes.ts';
import type { RuntimeNamespace } from './runtime/runtime-namespace.ts';
import type { EventHub } from './state/event-hub.ts';
import type { EnginePaths } from './state/paths.ts';
import type { ContainerRecord, SandboxRecord } from './state/records.ts';

/** What the parts of one engine share. */
export interface EngineContext {
  readonly paths: EnginePaths;
  readonly cgroupParent: string;
  readonly cgroups: Cgroups;
  readonly network: PodNetwork;
  readonly images: RootfsSource;
  readonly sandboxes: JournaledRecords<SandboxRecord>;
  readonly containers: JournaledRecords<ContainerRecord>;
  readonly initLayers: InitLayers;
  readonly runtimeNamespace: RuntimeNamespace;
  readonly runtimes: OciRuntimes;
  readonly events: EventHub;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** Cgroup of the monitors: beside the pods', so that neither their limits nor a restart of the daemon touch them. */
export const monitorGroup = (context: EngineContext): string => `${context.cgroupParent}/monitors`;
