import { expect, test } from 'vitest';
import { nextDelay, restarts } from './restart-decision.ts';

const policy = (Name: string, MaximumRetryCount = 0) => ({ Name, MaximumRetryCount });

test.each([
  ['no', 0, 1, false, 0, false],
  ['always', 0, 0, false, 50, true],
  ['always', 0, 0, true, 0, false],
  ['unless-stopped', 0, 137, false, 0, true],
  ['unless-stopped', 0, 137, true, 0, false],
  ['on-failure', 0, 0, false, 0, false],
  ['on-failure', 0, 1, false, 99, true],
  ['on-failure', 2, 1, false, 1, true],
  ['on-failure', 2, 1, false, 2, false],
] as const)(
  '%s:%d after %d (stopped: %s, restarts: %d): %s',
  (name, most, exitCode, stopped, restartCount, expected) => {
    expect(restarts(policy(name, most), { exitCode, stopped, restartCount })).toBe(expected);
  },
);

test('delays double up to a minute and begin anew after a long run', () => {
  let delay = 0;
  const delays = Array.from({ length: 12 }, () => {
    delay = nextDelay(delay, 50);
    return delay;
  });
  expect(delays).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000]);
  expect(nextDelay(60_000, 10_000)).toBe(100);
});
