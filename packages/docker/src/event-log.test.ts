import { VirtualClock } from '@wherry/base';
import { expect, test } from 'vitest';
import { createEventLog } from './event-log.ts';
import type { DockerEvent } from './events.ts';
import { strictlyRising } from './times.ts';

function eventLog() {
  const clock = new VirtualClock();
  return { clock, log: createEventLog({ clock, now: strictlyRising(() => BigInt(clock.now()) * 1_000_000n) }) };
}

async function actions(events: AsyncIterable<DockerEvent>): Promise<string[]> {
  const found: string[] = [];
  for await (const { Action } of events) found.push(Action);
  return found;
}

test('gives what is kept, then what comes, until the time', async () => {
  const { clock, log } = eventLog();
  log.emit('container', 'early', 'a', {});
  await clock.advance(1000);
  const since = BigInt(clock.now()) * 1_000_000n;
  log.emit('container', 'first', 'a', {});
  const reading = actions(log.read({ since, until: since + 5_000_000_000n }, new AbortController().signal));
  await clock.advance(1000);
  log.emit('container', 'second', 'a', {});
  await clock.advance(4000);
  log.emit('container', 'late', 'a', {});
  expect(await reading).toEqual(['first', 'second']);
});

test('keeps 256, ends with the signal, and never gives a time twice', async () => {
  const { clock, log } = eventLog();
  for (let number = 0; number < 300; number++) log.emit('image', String(number), 'a', {});
  const until = BigInt(clock.now() + 1) * 1_000_000n;
  await clock.advance(2);
  const kept = await actions(log.read({ since: 0n, until }, new AbortController().signal));
  expect([kept.length, kept[0]]).toEqual([256, '44']);
  const stop = new AbortController();
  const reading = actions(log.read({}, stop.signal));
  expect(log.listeners).toBe(1);
  stop.abort();
  expect(await reading).toEqual([]);
  expect(log.listeners).toBe(0);
});
