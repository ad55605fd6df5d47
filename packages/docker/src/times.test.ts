import { expect, test } from 'vitest';
import { formatNano, humanDuration, never, parseNano } from './times.ts';

test('writes times as Go does and reads them back', () => {
  const time = 1_795_349_688_308_057_160n;
  expect(formatNano(time)).toBe('2026-11-22T12:14:48.30805716Z');
  expect(parseNano(formatNano(time))).toBe(time);
  expect(formatNano(1_000_000_000n)).toBe('1970-01-01T00:00:01Z');
  expect(parseNano(never)).toBe(0n);
});

test.each([
  [999, 'Less than a second'],
  [1500, '1 second'],
  [59_999, '59 seconds'],
  [60_000, 'About a minute'],
  [180_000, '3 minutes'],
  [3_600_000, 'About an hour'],
  [47 * 3_600_000, '47 hours'],
  [3 * 86_400_000, '3 days'],
  [15 * 86_400_000, '2 weeks'],
  [70 * 86_400_000, '2 months'],
  [800 * 86_400_000, '2 years'],
])('%d ms is %s', (ms, text) => {
  expect(humanDuration(ms)).toBe(text);
});
