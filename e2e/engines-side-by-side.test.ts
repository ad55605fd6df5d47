import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createTestCluster } from '@wherry/testkit';
import { expect, it } from 'vitest';

it('engines that start at the same time, each from a home of its own, take different numbers', async () => {
  await using one = await createTestCluster({ start: false });
  const { directory, cgroupParent } = one.machine;
  const homes = ['a', 'b', 'c'].map((name) => ({
    name,
    env: { WHERRY_HOME: join(directory, name), WHERRY_RUN: join(directory, 'run', name) },
  }));
  try {
    const started = await Promise.all(
      homes.map(({ name, env }) =>
        one.wherry(['up', '--engine-only', '--cgroup-parent', `${cgroupParent}-${name}`, '--quiet'], { env }),
      ),
    );
    expect(started.map(({ code, stderr }) => ({ code, stderr }))).toEqual(homes.map(() => ({ code: 0, stderr: '' })));
    const bridges = homes.map(async ({ env }) => {
      const config = await readFile(join(env.WHERRY_HOME, 'clusters', 'wherry.json'), 'utf8');
      return (JSON.parse(config) as { bridge: string }).bridge;
    });
    expect((await Promise.all(bridges)).sort()).toEqual(['wherry0', 'wherry1', 'wherry2']);
  } finally {
    for (const { env } of homes) await one.wherry(['down', '--purge', '--quiet'], { env });
  }
  expect((await one.machine.run('nft', ['list', 'tables'])).stdout).toBe('');
});
