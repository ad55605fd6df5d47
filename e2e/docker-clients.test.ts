import { join } from 'node:path';
import { repository } from '@wherry/testkit';
import { afterEach, expect, it } from 'vitest';
import { useCluster } from './shared-cluster.ts';

const cluster = useCluster({ upArgs: ['--engine-only'] });

/** Runs a script inside the machine; gives what it printed. */
async function inside(name: string, ...args: string[]): Promise<unknown> {
  const { machine, env } = cluster.it;
  const script = join(repository, 'e2e', 'inside', name);
  const run = [join(repository, 'tools', 'run.mjs'), script, ...args];
  const ran = await machine.run(process.execPath, run, {
    env: { ...env, TESTCONTAINERS_RYUK_DISABLED: 'true' },
    timeout: 90_000,
  });
  expect(ran.stderr).toBe('');
  return JSON.parse(ran.stdout);
}

afterEach(async () => {
  const left = await cluster.it.mustDocker(['ps', '-aq']);
  const volumes = await cluster.it.mustDocker(['volume', 'ls', '-q']);
  const networks = await cluster.it.mustDocker(['network', 'ls', '--filter', 'type=custom', '-q']);
  expect({ left, volumes, networks }).toEqual({ left: '', volumes: '', networks: '' });
});

it('serves dockerode: run, attach, exec, copy, logs, events, volumes, networks', async () => {
  const { dockerHost, mustDocker } = cluster.it;
  await mustDocker(['tag', 'busybox:1.35', 'busybox:latest']);
  expect(await inside('dockerode.ts', dockerHost.replace('unix://', ''))).toEqual({
    ping: 'OK',
    run: { code: 4, output: 'ran\r\n' },
    listed: [[['/web'], 'running']],
    exec: { out: 'through exec', err: 'err\n', code: 7 },
    copied: 'copied in',
    missing: 404,
    stats: true,
    top: true,
    paused: true,
    waited: 0,
    again: 304,
    logs: 'got a line',
    removal: 409,
    actions: [
      'create',
      'attach',
      'start',
      'extract-to-dir',
      'archive-path',
      'top',
      'pause',
      'unpause',
      'kill',
      'stop',
      'die',
      'destroy',
    ],
    network: 'bridge',
    nosuch: [404, { message: 'No such container: nosuch' }],
  });
});

it('serves Testcontainers: wait strategies, networks, exec, copy, logs, health', async () => {
  expect(await inside('testcontainers.ts')).toEqual({
    served: true,
    copied: 'copied before the start',
    exec: { stdout: 'out\n', stderr: 'err\n', exitCode: 3 },
    scratch: 'tmpfs',
    copiedIn: 'while it runs',
    copiedOut: true,
    address: true,
    logs: 'starting|copied before the start|ready hello',
    restarted: 'again',
    failing: true,
  });
});
