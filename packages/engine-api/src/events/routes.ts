import { type Clock, systemClock, WherryError } from '@wherry/base';
import type { DockerEvent } from '@wherry/docker';
import type { Exchange } from '../http/exchange.ts';
import type { Route } from '../http/router.ts';
import { parseNanoseconds } from '../http/times.ts';
import type { EngineApiOptions } from '../options.ts';
import { matchesEvent } from './event-filter.ts';

/** `/events`. */
export function eventRoutes(options: EngineApiOptions): readonly Route[] {
  return [{ method: 'GET', path: '/events', handle: (exchange) => sendEvents(options, exchange) }];
}

async function sendEvents({ events, clock = systemClock }: EngineApiOptions, exchange: Exchange): Promise<void> {
  const { query, signal } = exchange;
  const since = parseNanoseconds(query.text('since'));
  const until = parseNanoseconds(query.text('until'));
  if (since !== undefined && until !== undefined && until < since) {
    throw new WherryError(
      'invalid',
      `\`since\` time (${query.text('since')}) cannot be after \`until\` time (${query.text('until')})`,
    );
  }
  const filters = query.filters();
  const lines = exchange.lines();
  lines.begin();
  // With an end alone, all that is kept comes before it; 0 is an end that is over, but cuts off nothing.
  const range = {
    ...(since === undefined && until === undefined ? {} : { since: since ?? 0n }),
    ...(until === undefined ? {} : { until: until === 0n ? nowOf(clock) : until }),
  };
  async function* chosen(): AsyncGenerator<unknown, void, undefined> {
    for await (const event of events.read(range, signal)) if (matchesEvent(event, filters)) yield eventMessage(event);
  }
  await lines.writeAll(chosen(), signal);
  lines.end();
}

function nowOf(clock: Clock): bigint {
  return BigInt(Math.floor(clock.now()) + 1) * 1_000_000n;
}

/** With the three members that events had before they had types. */
function eventMessage(event: DockerEvent): Readonly<Record<string, unknown>> {
  const { Type, Action, Actor, scope, time, timeNano } = event;
  const old = Type === 'container' || Type === 'image' ? { status: Action, id: Actor.ID || undefined } : {};
  const from = Type === 'container' ? { from: Actor.Attributes.image } : {};
  const Attributes = Object.fromEntries(Object.entries(Actor.Attributes).sort(([a], [b]) => (a < b ? -1 : 1)));
  return { ...old, ...from, Type, Action, Actor: { ID: Actor.ID, Attributes }, scope, time, timeNano };
}
