import { type CoreV1Event, microTimeText, timeText, type V1ObjectReference } from '@wherry/api';
import type { Clock } from '@wherry/base';
import type { EventDetail } from './event-detail.ts';

/** One thing that happened, before correlation. `at` in ms since the epoch. */
export interface EventFacts {
  readonly involved: V1ObjectReference;
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
  readonly at: number;
  readonly more: EventDetail;
}

/** What to write: `patch` for an Event that should exist already, `event` to create it. `stored` takes the answer. */
export interface EventWrite {
  readonly event: CoreV1Event;
  readonly patch: object | undefined;
  stored(event: CoreV1Event): void;
}

/** Upstream's correlation (client-go `events_cache`): similar Events that differ in message are combined after ten. */
const similarLimit = 10;
const similarWindow = 600_000;
/** Its spam filter: 25 Events at once about one object, then one in five minutes. */
const burst = 25;
const refill = 300_000;
/** A series ends when it was quiet for six minutes (KEP-383). */
const seriesQuiet = 360_000;
const remembered = 4096;

/** Makes the function that decides, for each fact in order, what to write; `undefined` means drop. */
export function correlateEvents(options: {
  clock: Clock;
  component: string;
  host: string;
  style: 'core' | 'series';
}): (facts: EventFacts) => EventWrite | undefined {
  const { component, host, style } = options;
  const known = new Recent<CoreV1Event>();
  const similar = new Recent<{ messages: Set<string>; last: number }>();
  const spam = new Recent<{ tokens: number; at: number }>();
  let lastStamp = 0n;

  const stamp = (at: number): bigint => {
    const wanted = BigInt(Math.floor(at)) * 1_000_000n;
    lastStamp = wanted > lastStamp ? wanted : lastStamp + 1n;
    return lastStamp;
  };

  return (facts) => {
    const { involved, at } = facts;
    const object = [involved.kind, involved.namespace, involved.name, involved.uid, involved.apiVersion].join('\n');
    if (style === 'core' && !allowed(spam, object, at)) return undefined;
    const group = [object, involved.fieldPath, facts.type, facts.reason, facts.more.action].join('\n');
    const message = style === 'core' ? combined(similar, group, facts) : facts.message;
    const combinedNow = message !== facts.message;
    const key = combinedNow ? group : `${group}\n${facts.message}`;
    const before = known.get(key);
    const repeat = before !== undefined && (style === 'core' || at - lastSeen(before) < seriesQuiet);
    const event = repeat
      ? repeated(before, message, at, style)
      : fresh({ ...facts, message }, { component, host, style, stamp: stamp(at) });
    known.set(key, event);
    return {
      event,
      patch: repeat ? changeOf(event, style) : undefined,
      stored: (answer) => known.set(key, answer),
    };
  };
}

function allowed(spam: Recent<{ tokens: number; at: number }>, object: string, at: number): boolean {
  const bucket = spam.get(object) ?? { tokens: burst, at };
  const tokens = Math.min(burst, bucket.tokens + (at - bucket.at) / refill);
  spam.set(object, { tokens: tokens >= 1 ? tokens - 1 : tokens, at });
  return tokens >= 1;
}

function combined(similar: Recent<{ messages: Set<string>; last: number }>, group: string, facts: EventFacts): string {
  let entry = similar.get(group);
  if (entry === undefined || facts.at - entry.last > similarWindow) entry = { messages: new Set(), last: facts.at };
  entry.messages.add(facts.message);
  entry.last = facts.at;
  if (entry.messages.size > similarLimit) {
    const [oldest] = entry.messages;
    if (oldest !== undefined) entry.messages.delete(oldest);
    similar.set(group, entry);
    return `(combined from similar events): ${facts.message}`;
  }
  similar.set(group, entry);
  return facts.message;
}

function fresh(
  facts: EventFacts,
  by: { component: string; host: string; style: 'core' | 'series'; stamp: bigint },
): CoreV1Event {
  const { involved, more } = facts;
  const namespace = involved.namespace || 'default';
  const series = by.style === 'series';
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: {
      name: `${involved.name ?? ''}.${by.stamp.toString(16)}`,
      namespace,
      ...(more.annotations ? { annotations: { ...more.annotations } } : {}),
    },
    involvedObject: involved,
    ...(more.related ? { related: more.related } : {}),
    reason: facts.reason,
    message: facts.message,
    type: facts.type,
    ...(series
      ? { eventTime: microTimeText(facts.at), action: more.action ?? facts.reason, source: {} }
      : {
          count: 1,
          firstTimestamp: timeText(facts.at),
          lastTimestamp: timeText(facts.at),
          source: { component: by.component, ...(by.host ? { host: by.host } : {}) },
        }),
    reportingComponent: by.component,
    reportingInstance: by.host || (series ? by.component : ''),
  };
}

function repeated(before: CoreV1Event, message: string, at: number, style: 'core' | 'series'): CoreV1Event {
  const { resourceVersion: _, uid: __, ...metadata } = before.metadata ?? {};
  const rest = { ...before, metadata, message };
  if (style === 'series')
    return { ...rest, series: { count: (before.series?.count ?? 1) + 1, lastObservedTime: microTimeText(at) } };
  return { ...rest, count: (before.count ?? 1) + 1, lastTimestamp: timeText(at) };
}

function changeOf(event: CoreV1Event, style: 'core' | 'series'): object {
  if (style === 'series') return { series: event.series };
  return { count: event.count, lastTimestamp: event.lastTimestamp, message: event.message };
}

function lastSeen(event: CoreV1Event): number {
  return Date.parse(event.series?.lastObservedTime ?? event.eventTime ?? '') || 0;
}

/** A map that forgets what was not used for longest. */
class Recent<T> {
  readonly #entries = new Map<string, T>();

  get(key: string): T | undefined {
    const value = this.#entries.get(key);
    if (value !== undefined) {
      this.#entries.delete(key);
      this.#entries.set(key, value);
    }
    return value;
  }

  set(key: string, value: T): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size > remembered) this.#entries.delete(this.#entries.keys().next().value!);
  }
}
