import { join } from 'node:path';
import { webImage, writeDockerArchive } from '@wherry/testkit';
import { expect, it } from 'vitest';
import { sleeper, useCluster } from './shared-cluster.ts';

const cluster = useCluster({ diskBytes: 64 * 1024 * 1024 });

it('says that the disk is full, loses nothing, and goes on when there is space', async () => {
  const k = cluster.it;
  const filler = join(k.machine.directory, 'root', 'filler');
  await k.apply(sleeper('before'));
  await k.mustKubectl(['wait', 'pod/before', '--for=condition=Ready', '--timeout=30s']);
  const pid = await k.daemonPid();
  await k.machine.run('sh', ['-c', `cat /dev/zero > ${filler} 2>/dev/null`]);
  // Small objects may still fit into free pages of the store: until one does not.
  const acknowledged: string[] = [];
  let refused: string | undefined;
  while (refused === undefined && acknowledged.length < 200) {
    const name = `kept-${acknowledged.length}`;
    const ran = await k.kubectl(['create', 'configmap', name, `--from-literal=a=${'x'.repeat(60_000)}`]);
    if (ran.code === 0) acknowledged.push(name);
    else refused = ran.stderr;
  }
  expect(refused).toMatch(/full|no space left|storage/i);
  expect(await k.mustKubectl(['exec', 'before', '--', 'hostname'])).toBe('before\n');
  expect((await k.kubectl(['get', 'pods'])).stdout).toContain('before');
  const archive = join(k.machine.directory, 'web.tar');
  await writeDockerArchive(archive, await webImage(), ['nginx:1.22']);
  const loaded = await k.wherry(['load', archive]);
  if (loaded.code !== 0) expect(loaded.stderr).toMatch(/full|no space left/i);

  await k.kubectl(['run', 'during', '--image=busybox:1.35', '--', 'sleep', '3600']);
  expect(await k.daemonPid()).toBe(pid);

  await k.machine.run('rm', [filler]);
  await k.apply(sleeper('after'));
  await k.mustKubectl(['wait', 'pod/after', '--for=condition=Ready', '--timeout=30s']);
  const names = (await k.mustKubectl(['get', 'configmap', '-o', 'name'])).split('\n');
  expect(acknowledged.filter((name) => !names.includes(`configmap/${name}`))).toEqual([]);
  expect(await k.daemonPid()).toBe(pid);
  await k.killDaemon();
  await k.startAgain();
  expect(await k.mustKubectl(['exec', 'before', '--', 'hostname'])).toBe('before\n');
  expect((await k.mustKubectl(['get', 'configmap', '-o', 'name'])).split('\n')).toEqual(names);
});
