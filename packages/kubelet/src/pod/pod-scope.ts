import type { V1Pod } from '@wherry/api';
import type { Logger } from '@wherry/base';
import type { NodeContext } from './node-context.ts';
import type { PodEvents } from './pod-events.ts';
import type { WakeTimer } from './wake-timer.ts';

/** What the parts of one pod's worker share. */
export interface PodScope {
  readonly uid: string;
  readonly node: NodeContext;
  readonly log: Logger;
  readonly events: PodEvents;
  readonly timer: WakeTimer;
  /** Fires when nothing may start any more: the pod ends, or the worker lets go of it. */
  readonly stop: AbortSignal;
  /** The object as last seen. */
  readonly pod: () => V1Pod;
  /** Asks for another pass. */
  readonly wake: () => void;
}

/** When a pod started (ms): what its status says, else when this node first saw it. */
export function startTimeOf(pod: V1Pod, firstSeen: number): number {
  const known = pod.status?.startTime;
  return known === undefined ? firstSeen : Date.parse(known);
}
