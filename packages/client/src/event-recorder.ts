import type { CoreV1Event, V1ObjectReference } from '@wherry/api';
import { type Clock, codeOf, type Logger, messageOf, silentLogger, sleep } from '@wherry/base';
import type { ApiClient, KubeObject } from './client.ts';
import { correlateEvents, type EventFacts, type EventWrite } from './event-correlation.ts';
import type { EventDetail } from './event-detail.ts';
import { resources } from './resources.ts';

/** What an Event is about. `kind` and `apiVersion` are given because objects from lists may lack them. */
export type EventTarget = KubeObject | { readonly reference: V1ObjectReference };

/** Writes Events in the background; never throws, never blocks, drops what the server cannot take in time. */
export interface EventRecorder extends AsyncDisposable {
  event(about: EventTarget, type: 'Normal' | 'Warning', reason: string, message: string, more?: EventDetail): void;
  /** Resolves when everything recorded so far was written or dropped. */
  flush(): Promise<void>;
}

/** Settings of an event recorder. */
export interface EventRecorderOptions {
  readonly client: ApiClient;
  /** `source.component` and `reportingComponent`: `kubelet`, `deployment-controller`. */
  readonly component: string;
  /** `source.host`, for components that run on a node. */
  readonly host?: string;
  readonly clock: Clock;
  readonly log?: Logger;
  /**
   * `core` (default): count, first and last time, source. `series`: as the scheduler writes them
   * (events.k8s.io/v1): eventTime, action, reportingComponent, and `series` for repeats (KEP-383).
   */
  readonly style?: 'core' | 'series';
  /** Kind and apiVersion of targets that do not carry them. */
  readonly kind?: { readonly apiVersion: string; readonly kind: string };
}

const mostQueued = 1000;
const mostTries = 5;

/** The reference by which an Event names an object. */
export function referenceTo(
  object: KubeObject,
  kind?: { readonly apiVersion: string; readonly kind: string },
): V1ObjectReference {
  const { name, namespace, uid, resourceVersion } = object.metadata ?? {};
  const apiVersion = object.apiVersion ?? kind?.apiVersion;
  const kindName = object.kind ?? kind?.kind;
  return {
    ...(kindName === undefined ? {} : { kind: kindName }),
    ...(apiVersion === undefined ? {} : { apiVersion }),
    ...(namespace === undefined ? {} : { namespace }),
    ...(name === undefined ? {} : { name }),
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  };
}

/** A recorder with upstream's correlation: repeats are counted on one Event, floods are combined, then dropped. */
export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  const { client, clock, component, host = '', style = 'core', log = silentLogger } = options;
  const correlate = correlateEvents({ clock, component, host, style });
  const queue: EventFacts[] = [];
  const ending = new AbortController();
  let draining: Promise<void> | undefined;

  const drain = async (): Promise<void> => {
    // The caller's synchronous work goes first: recording is never on the way of what it reports.
    await new Promise<void>((resolve) => setImmediate(resolve));
    for (let facts = queue.shift(); facts !== undefined; facts = queue.shift()) {
      const write = correlate(facts);
      if (write) await send(write);
    }
    draining = undefined;
  };

  const send = async (write: EventWrite): Promise<void> => {
    for (let tries = 1; ; tries++) {
      try {
        write.stored(await attempt(write));
        return;
      } catch (error) {
        const code = codeOf(error);
        const worthwhile = code === undefined || code === 'unavailable' || code === 'timeout' || code === 'internal';
        if (!worthwhile || tries >= mostTries || ending.signal.aborted) {
          log.debug('an event was dropped', { reason: write.event.reason, error: messageOf(error) });
          return;
        }
        await sleep(clock, 1000 * tries, { signal: ending.signal }).catch(() => undefined);
      }
    }
  };

  const attempt = async ({ event, patch }: EventWrite): Promise<CoreV1Event> => {
    if (patch !== undefined) {
      const { namespace, name } = event.metadata ?? {};
      try {
        return await client.patch<CoreV1Event>(resources.events, { namespace, name: name! }, 'merge', patch);
      } catch (error) {
        if (codeOf(error) !== 'notFound') throw error; // it expired meanwhile: write it anew
      }
    }
    return client.create<CoreV1Event>(resources.events, event);
  };

  return {
    event(about, type, reason, message, more = {}) {
      if (queue.length >= mostQueued || ending.signal.aborted) {
        log.debug('an event was dropped', { reason, queued: queue.length });
        return;
      }
      const involved = 'reference' in about ? about.reference : referenceTo(about, options.kind);
      queue.push({ involved, type, reason, message: message.slice(0, 1024), at: clock.now(), more });
      draining ??= drain();
    },
    async flush() {
      while (draining) await draining;
    },
    async [Symbol.asyncDispose]() {
      ending.abort();
      while (draining) await draining;
    },
  };
}
