import { deferred, jsonLogger, VirtualClock } from '@wherry/base';
import { expect, test } from 'vitest';
import { returnIdleMemory } from './memory.ts';

test('gives memory back once the process is at rest', async () => {
  const clock = new VirtualClock();
  const said = deferred<string>();
  const lines: string[] = [];
  const log = jsonLogger((line) => {
    lines.push(line);
    said.resolve(line);
  }, 'debug');
  using _ = returnIdleMemory(clock, log);
  await clock.advance(9_000);
  expect(lines).toEqual([]);
  // A collection in this very process counts as work and begins the rest anew, but not for long.
  await clock.advance(60_000);
  expect(await said.promise).toContain('gave memory back');
});
