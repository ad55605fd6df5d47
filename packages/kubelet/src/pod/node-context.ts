import type { V1ObjectReference, V1Pod, V1Service } from '@wherry/api';
import type { Clock, Logger } from '@wherry/base';
import type { ApiClient } from '@wherry/client';
import type { DnsConfig, ImageService, RuntimeService } from '@wherry/runtime';
import type { PodVolumes } from '@wherry/volumes';
import type { ImagePuller } from '../images/image-puller.ts';
import type { BackOffSettings } from './back-off.ts';
import type { ClusterDns } from './dns.ts';
import type { ObjectWatches } from './object-watches.ts';

/** What the workers of a node share. */
export interface NodeContext {
  readonly nodeName: string;
  readonly nodeIps: readonly string[];
  readonly client: ApiClient;
  readonly runtime: RuntimeService;
  readonly images: ImageService;
  readonly puller: ImagePuller;
  readonly volumes: PodVolumes;
  readonly watches: ObjectWatches;
  readonly clock: Clock;
  readonly log: Logger;
  readonly logDirectory: string;
  readonly cgroupRoot: string;
  readonly clusterDns: ClusterDns | undefined;
  readonly clusterDomain: string;
  readonly restartBackOff: BackOffSettings;
  /** `wherry` in `wherry://<id>`; known once the runtime answered. */
  readonly runtimeName: () => string;
  readonly allocatable: () => Readonly<Record<string, string>>;
  /** Bytes. */
  readonly memoryCapacity: () => number;
  readonly hostDns: () => Promise<DnsConfig>;
  readonly services: () => readonly V1Service[];
  readonly recordEvent: (about: V1ObjectReference, type: 'Normal' | 'Warning', reason: string, message: string) => void;
  /** Why a pod cannot run here; `undefined`: it can. */
  readonly admit: (pod: V1Pod) => Promise<{ readonly reason: string; readonly message: string } | undefined>;
  readonly runtimeHandler: (pod: V1Pod) => Promise<string | undefined>;
  /** The worker is done with its pod: API object, containers and volumes are gone. */
  readonly gone: (podUid: string) => void;
}
