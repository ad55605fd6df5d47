import type { Duplex, Readable } from 'node:stream';
import type { AttachOptions, ExecOptions, StreamSession } from './runtime.ts';

/** One pod on a node. `uid` may be left out by callers who only know the name. */
export interface PodKey {
  readonly namespace: string;
  readonly name: string;
  readonly uid?: string | undefined;
}

/** `PodLogOptions` of the API. */
export interface LogOptions {
  readonly follow?: boolean | undefined;
  readonly previous?: boolean | undefined;
  readonly sinceSeconds?: number | undefined;
  /** Milliseconds since the epoch. */
  readonly sinceTime?: number | undefined;
  readonly timestamps?: boolean | undefined;
  readonly tailLines?: number | undefined;
  readonly limitBytes?: number | undefined;
  readonly stream?: 'All' | 'Stdout' | 'Stderr' | undefined;
}

/**
 * The streams of a node's pods, as the API server asks a kubelet for them (its `/containerLogs`,
 * `/exec`, `/attach`, `/portForward`). The kubelet implements it; in one process it is called
 * directly. Failures: `notFound` (pod or container), `invalid` (container not running yet, in
 * upstream's words), `unavailable`.
 */
export interface PodStreams {
  logs(pod: PodKey, container: string, options: LogOptions, signal: AbortSignal): Promise<Readable>;
  exec(pod: PodKey, container: string, options: ExecOptions): Promise<StreamSession>;
  attach(pod: PodKey, container: string, options: AttachOptions): Promise<StreamSession>;
  portForward(pod: PodKey, port: number): Promise<Duplex>;
}
