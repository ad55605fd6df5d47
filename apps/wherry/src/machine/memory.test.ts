import { jsonLogger, VirtualClock } from '@wherry/base';
import { expect, test } from 'vitest';
import { returnIdleMemory } from './memory.ts';

test('gives memory back once the process is at rest', async () => {
  const clock = new VirtualClock();
  const lines: string[] = [];
  const log = jsonLogger((line) => lines.push(line), 'debug');
  using _ = returnIdleMemory(clock, log);
  await clock.advance(9_000);
  expect(lines).toEqual([]);
  // A collection in this very process counts as work and begins the rest anew.
  while (lines.length === 0) await clock.advance(10_000);
  expect(lines[0]).toContain('gave memory back');
});
