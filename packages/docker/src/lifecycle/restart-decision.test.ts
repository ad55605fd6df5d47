import { expect, test } from 'vitest';
import { nextDelay, restarts } from './restart-decision.ts';

const policy = (Name: string, MaximumRetryCount = 0) => ({ Name, MaximumRetryCount });

test.each([
  ['no', 0, 1, 'goes on', 0, false],
  ['always', 0, 0, 'goes on', 50, true],
  ['always', 0, 0, 'is being stopped', 0, false],
  ['always', 0, 0, 'was signalled', 0, true],
  ['unless-stopped', 0, 137, 'goes on', 0, true],
  ['unless-stopped', 0, 137, 'is being stopped', 0, false],
  ['unless-stopped', 0, 137, 'was signalled', 0, false],
  ['on-failure', 0, 0, 'goes on', 0, false],
  ['on-failure', 0, 1, 'goes on', 99, true],
  ['on-failure', 0, 1, 'was signalled', 0, true],
  ['on-failure', 0, 1, 'is being stopped', 0, false],
  ['on-failure', 2, 1, 'goes on', 1, true],
  ['on-failure', 2, 1, 'goes on', 2, false],
] as const)('%s:%d after %d (%s, restarts: %d): %s', (name, most, exitCode, how, restartCount, expected) => {
  const stopping = how === 'is being stopped';
  const manuallyStopped = stopping || how === 'was signalled';
  expect(restarts(policy(name, most), { exitCode, stopping, manuallyStopped, restartCount })).toBe(expected);
});

test('delays double up to a minute and begin anew after a long run', () => {
  let delay = 0;
  const delays = Array.from({ length: 12 }, () => {
    delay = nextDelay(delay, 50);
    return delay;
  });
  expect(delays).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000]);
  expect(nextDelay(60_000, 10_000)).toBe(100);
});
