import { silentLogger, VirtualClock, WherryError } from '@wherry/base';
import { expect, test } from 'vitest';
import { runController } from './controller.ts';
import { createWorkQueue } from './work-queue.ts';

test('a key waits once, and an add while it is worked on comes after done', async () => {
  const queue = createWorkQueue({ clock: new VirtualClock() });
  queue.add('a');
  queue.add('b');
  queue.add('a');
  expect(queue.size).toBe(2);
  expect(await queue.get()).toBe('a');
  queue.add('a');
  expect(queue.size).toBe(1);
  expect(await queue.get()).toBe('b');
  const next = queue.get();
  queue.done('a');
  expect(await next).toBe('a');
});

test('a delayed add keeps the earlier of two times', async () => {
  const clock = new VirtualClock();
  const queue = createWorkQueue({ clock });
  queue.addAfter('a', 1000);
  queue.addAfter('a', 100);
  queue.addAfter('a', 5000);
  await clock.advance(99);
  expect(queue.size).toBe(0);
  await clock.advance(1);
  expect(queue.size).toBe(1);
  await clock.advance(10_000);
  expect(queue.size).toBe(1);
});

test('retries back off per key and start over after forget', async () => {
  const clock = new VirtualClock();
  const queue = createWorkQueue({ clock, baseDelay: 10, maxDelay: 35 });
  for (const delay of [10, 20, 35, 35]) {
    queue.addRateLimited('a');
    await clock.advance(delay - 1);
    expect(queue.size).toBe(0);
    await clock.advance(1);
    expect(await queue.get()).toBe('a');
    queue.done('a');
  }
  expect(queue.retries('a')).toBe(4);
  queue.forget('a');
  queue.addRateLimited('a');
  await clock.advance(10);
  expect(queue.size).toBe(1);
});

test('all retries together keep to the rate', async () => {
  const clock = new VirtualClock();
  const queue = createWorkQueue({ clock, baseDelay: 1, rate: { perSecond: 10, burst: 2 } });
  for (const key of ['a', 'b', 'c', 'd']) queue.addRateLimited(key);
  await clock.advance(1);
  expect(queue.size).toBe(2);
  await clock.advance(200);
  expect(queue.size).toBe(4);
});

test('a controller retries what fails, honours `after`, and ends with the signal', async () => {
  const clock = new VirtualClock();
  const queue = createWorkQueue({ clock });
  const end = new AbortController();
  const calls: string[] = [];
  let working = 0;
  const run = runController({
    name: 'test',
    queue,
    workers: 3,
    log: silentLogger,
    signal: end.signal,
    reconcile: async (key) => {
      expect(++working).toBe(1); // never twice at once
      calls.push(key);
      await Promise.resolve();
      working--;
      if (calls.length === 1) throw new WherryError('conflict', 'changed');
      if (calls.length === 2) return { after: 1000 };
      return undefined;
    },
  });
  queue.add('a');
  await clock.advance(4);
  expect(calls).toEqual(['a']);
  await clock.advance(1);
  expect(calls).toEqual(['a', 'a']);
  await clock.advance(1000);
  expect(calls).toEqual(['a', 'a', 'a']);
  await clock.advance(100_000);
  expect(calls).toHaveLength(3);
  end.abort();
  await run;
});
