import type { Clock, Logger, Random } from '@wherry/base';
import {
  type ApiClient,
  createEventRecorder,
  createWorkQueue,
  type EventRecorder,
  type InformerFactory,
  type OwnerKind,
  type ReconcileResult,
  runController,
  type WorkQueue,
} from '@wherry/client';

/** What every controller is given. */
export interface ControllerContext {
  readonly client: ApiClient;
  readonly informers: InformerFactory;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** One control loop of the controller manager. */
export interface Controller {
  /** Upstream's name for it, e.g. `deployment-controller`: also the source of its Events. */
  readonly name: string;
  /** Runs until the signal fires. */
  run(signal: AbortSignal): Promise<void>;
}

/** What a loop is made of; `start` subscribes to informers and gives what must be synced before work begins. */
export interface LoopParts {
  readonly queue: WorkQueue;
  readonly events: EventRecorder;
}

/** The shape that most controllers share: subscriptions that add keys, one queue, one reconcile. */
export function defineController(
  context: ControllerContext,
  definition: {
    readonly name: string;
    /** The kind that its Events are about. */
    readonly kind: OwnerKind;
    readonly workers?: number;
    readonly start: (parts: LoopParts) => {
      readonly subscriptions: readonly Disposable[];
      readonly synced: readonly Promise<void>[];
      readonly reconcile: (key: string, signal: AbortSignal) => Promise<ReconcileResult> | Promise<void>;
    };
  },
): Controller {
  const { client, clock, log } = context;
  return {
    name: definition.name,
    async run(signal) {
      const queue = createWorkQueue({ clock });
      const events = createEventRecorder({ client, component: definition.name, clock, log, kind: definition.kind });
      const { subscriptions, synced, reconcile } = definition.start({ queue, events });
      try {
        await Promise.all(synced);
        const workers = definition.workers ?? 4;
        await runController({ name: definition.name, queue, reconcile, workers, log, signal });
      } catch (error) {
        if (!signal.aborted) throw error;
      } finally {
        for (const subscription of subscriptions) subscription[Symbol.dispose]();
        queue.close();
        await events[Symbol.asyncDispose]();
      }
    },
  };
}
