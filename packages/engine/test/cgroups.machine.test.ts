import { openCgroups } from '@wherry/linux';
import { expect, test } from 'vitest';
import { createEngine } from '../src/index.ts';
import { testMachine } from './machine.ts';

test('the limits of groups of sandboxes are set, the groups made where they are not there, never above the parent', async () => {
  await using machine = testMachine();
  await using engine = await createEngine(machine.options);
  await engine.updateCgroup('kubepods/burstable', { cpuShares: 512 });
  await engine.updateCgroup('../../kubepods/besteffort', { cpuShares: 2 });
  const cgroups = openCgroups();
  for (const group of ['burstable', 'besteffort'])
    expect(cgroups.exists(`${machine.options.cgroupParent}/kubepods/${group}`)).toBe(true);
});
