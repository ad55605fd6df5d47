import type { UserMappings } from '@wherry/runtime';
import type { ContainerConfig, EndpointSettings, HostConfig, MountPoint } from '../config/types.ts';

export type ContainerPhase = 'created' | 'running' | 'paused' | 'restarting' | 'removing' | 'exited' | 'dead';

/** From which phase a container may go to which. `restarting` is the time between an end and the next start. */
export const transitions = {
  created: ['running', 'created', 'removing'],
  running: ['paused', 'exited', 'restarting', 'removing'],
  paused: ['running', 'exited', 'restarting', 'removing'],
  restarting: ['running', 'exited', 'restarting', 'removing'],
  exited: ['running', 'exited', 'removing'],
  removing: ['dead', 'removing'],
  dead: ['removing'],
} as const satisfies Record<ContainerPhase, readonly ContainerPhase[]>;

/** How a container is, or how its last run ended. Times as `formatNano` writes them. */
export interface RunState {
  readonly phase: ContainerPhase;
  readonly exitCode: number;
  readonly error: string;
  readonly oomKilled: boolean;
  readonly startedAt: string;
  readonly finishedAt: string;
}

/** A container as it is on disk. The engine's own records say what runs; where the two differ, they win. */
export interface ContainerRecord {
  readonly version: 1;
  readonly id: string;
  /** Without a slash. */
  readonly name: string;
  readonly created: string;
  /** Digest of the image's config. */
  readonly imageId: string;
  /** Its users, where they are not the machine's; it keeps them. */
  readonly users?: UserMappings | undefined;
  readonly path: string;
  readonly args: readonly string[];
  readonly config: ContainerConfig;
  readonly host: HostConfig;
  readonly mounts: readonly MountPoint[];
  /** What it asks of its networks, by their names. */
  readonly endpoints: Readonly<Record<string, EndpointSettings>>;
  readonly state: RunState;
  /** By its restart policy. */
  readonly restartCount: number;
  /** A user ended it: `unless-stopped` leaves it alone. */
  readonly manuallyStopped: boolean;
  /** Of a removal that has begun: whether volumes without a name go, too. */
  readonly removesVolumes?: boolean | undefined;
}
