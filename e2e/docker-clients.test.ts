import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { debianPackages, repository } from '@wherry/testkit';
import { afterEach, expect, it } from 'vitest';
import { useCluster } from './shared-cluster.ts';

/** docker-py and the libraries that it needs; `undefined` where the archive cannot be reached. */
const dockerPy = debianPackages(repository, 'trixie', [
  'python3-docker',
  ...['requests', 'urllib3', 'idna', 'chardet', 'certifi'].map((name) => `python3-${name}`),
]);
const python = spawnSync('python3', ['--version']).status === 0;

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

// Without python3 on the machine, or its packages, there is nothing to run.
it.skipIf(dockerPy === undefined || !python)(
  'serves docker-py: settings, exec, attach, logs, archives, networks, builds, events',
  async () => {
    const { dockerHost, machine, mustDocker } = cluster.it;
    await mustDocker(['tag', 'busybox:1.35', 'busybox:latest']);
    const ran = await machine.run('python3', [join(repository, 'e2e', 'inside', 'docker-py.py'), dockerHost], {
      env: { PYTHONPATH: join(dockerPy!, 'usr/lib/python3/dist-packages'), PYTHONDONTWRITEBYTECODE: '1' },
    });
    expect(ran).toMatchObject({ stderr: '', code: 0 });
    expect(JSON.parse(ran.stdout)).toEqual({
      ping: true,
      settings: {
        CapAdd: ['NET_ADMIN'],
        CpuShares: 512,
        Dns: ['8.8.8.8'],
        ExtraHosts: ['a:1.2.3.4'],
        Init: true,
        Memory: 64 << 20,
        MemorySwap: 128 << 20,
        PortBindings: null,
        RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 3 },
        SecurityOpt: ['no-new-privileges'],
        Sysctls: { 'net.core.somaxconn': '1024' },
        Tmpfs: { '/s': 'size=1m' },
        Ulimits: [{ Name: 'nofile', Hard: 200, Soft: 100 }],
        LogConfig: { Type: 'json-file', Config: { 'max-size': '1m' } },
      },
      exec: [
        [['out\n', 'err\n'], 7],
        [['out\r\nerr\r\n'], 7],
      ],
      typed: 'typed',
      files: [256_000, 256_000],
      top: ['sleep 600'],
      stats: ['blkio_stats', 'cpu_stats', 'id'],
      attached: ['a line\n', { StatusCode: 0 }],
      logs: ['one\ntwo\n', 'two\n', ''],
      networks: [{ IPv4Address: '10.77.5.24' }, ['other', 'SHORT ID'], ['py'], ['APIError', 403]],
      builds: [{ made: 'here' }, true],
      events: ['create', 'start', 'die', 'destroy'],
      failed: ['APIError', 400],
      missing: ['NotFound', 404],
    });
  },
);
