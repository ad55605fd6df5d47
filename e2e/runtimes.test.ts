import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { realRunc, repository } from '@wherry/testkit';
import { describe, expect, it } from 'vitest';
import { eventually } from './eventually.ts';
import { useCluster } from './shared-cluster.ts';

const runc = realRunc(repository);
const cluster = useCluster({
  upArgs: ['--add-runtime', `runc=${runc}`, '--add-runtime', `quiet=${runc} --debug=false`],
});
const image = 'busybox:1.35';

const docker = (...args: string[]): Promise<string> => cluster.it.mustDocker(args);
const onRunc = (...args: string[]): string[] => ['--runtime', 'runc', ...args];

/** Whether runc's own state knows a container, under the name that it is registered by. */
const isRuncs = (id: string, name = 'runc'): boolean =>
  existsSync(join(cluster.it.machine.directory, 'run', 'wherry', 'engine', 'runtime', name, id.trim(), 'state.json'));

describe('docker run --runtime', () => {
  it('knows what is registered, with crun as the default', async () => {
    const info = JSON.parse(await docker('info', '-f', '{{json .}}')) as {
      Runtimes: Record<string, { path: string; runtimeArgs?: string[] }>;
      DefaultRuntime: string;
    };
    expect(info.DefaultRuntime).toBe('crun');
    expect(info.Runtimes).toMatchObject({
      crun: { path: expect.stringMatching(/\/crun$/) },
      runc: { path: runc },
      quiet: { path: runc, runtimeArgs: ['--debug=false'] },
    });
    const refused = await cluster.it.docker(['run', '--rm', '--runtime', 'nosuch', image, 'true']);
    expect(refused).toMatchObject({
      code: 125,
      stderr: expect.stringContaining('Error response from daemon: unknown or invalid runtime name: nosuch\n'),
    });
  });

  it('runs on runc what runs on crun', async () => {
    expect(await docker('run', '--rm', '--runtime', 'quiet', image, 'echo', 'hello')).toBe('hello\n');
    const limits = ['-m', '48m', '--cpus', '0.5', '--pids-limit', '50', '--ulimit', 'nofile=300', '-u', 'mail'];
    const security = ['--cap-drop', 'ALL', '--security-opt', 'no-new-privileges', '--read-only', '--tmpfs', '/tmp'];
    const id = await docker(
      'run',
      '-d',
      '--name',
      'whole',
      ...onRunc(),
      ...limits,
      ...security,
      image,
      'sleep',
      '4002',
    );
    expect(isRuncs(id)).toBe(true);
    expect(await docker('inspect', '-f', '{{.HostConfig.Runtime}}', 'whole')).toBe('runc\n');
    const script =
      'id -un; ulimit -n; touch /x; touch /tmp/x && echo wrote; grep -E "NoNewPrivs|CapEff|Seccomp:" /proc/1/status';
    const told = await cluster.it.docker(['exec', 'whole', 'sh', '-c', script]);
    expect(told.stdout.replaceAll('\t', ' ')).toBe(
      'mail\n300\nwrote\nCapEff: 0000000000000000\nNoNewPrivs: 1\nSeccomp: 2\n',
    );
    expect(told.stderr).toBe('touch: /x: Read-only file system\n');
    expect(await docker('top', 'whole')).toContain('sleep 4002');
    expect((await cluster.it.docker(['exec', 'whole', 'sh', '-c', 'exit 7'])).code).toBe(7);
    await docker('pause', 'whole');
    await docker('unpause', 'whole');
    await docker('update', '--pids-limit', '60', 'whole');
    await docker('stop', '-t', '0', 'whole');
    expect(await docker('inspect', '-f', '{{.State.ExitCode}} {{.State.OOMKilled}}', 'whole')).toBe('137 false\n');
    await eventually(() => expect(isRuncs(id)).toBe(false));
    // What was left behind would be in the way of the next start.
    await docker('start', 'whole');
    expect(isRuncs(id)).toBe(true);
    await docker('rm', '-f', 'whole');
  });

  it('gives commands and containers terminals', async () => {
    await docker(
      'run',
      '-d',
      '--name',
      'terminals',
      ...onRunc(),
      '-it',
      image,
      'sh',
      '-c',
      'read a; stty size; echo "<$a>"; exec sleep 4003',
    );
    await using attached = cluster.it.startDocker(['attach', '--sig-proxy=false', 'terminals'], { tty: true });
    attached.write('typed\r');
    await attached.waitFor('<typed>');
    await using executed = cluster.it.startDocker(
      ['exec', '-it', 'terminals', 'sh', '-c', 'tty; read b; echo "[$b]"; exit 6'],
      { tty: true },
    );
    await executed.waitFor('/dev/pts/');
    executed.write('more\r');
    await executed.waitFor('[more]');
    expect((await executed.exited).code).toBe(6);
    await docker('rm', '-f', 'terminals');
  });

  it('says in runc’s words what cannot start', async () => {
    const create =
      'failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed:';
    for (const [args, code, words] of [
      [
        [image, 'nosuch'],
        127,
        `${create} unable to start container process: exec: "nosuch": executable file not found in $PATH: unknown`,
      ],
      [[image, '/etc'], 126, `${create} unable to start container process: exec: "/etc": permission denied: unknown`],
      [
        ['--sysctl', 'net.nosuch=1', image, 'true'],
        127,
        `${create} unable to start container process: error during container init: open /proc/sys/net/nosuch: no such file or directory: unknown`,
      ],
      [
        ['--ulimit', 'nofile=100000000', image, 'true'],
        125,
        'error setting rlimit type 7: operation not permitted: unknown',
      ],
    ] as const) {
      const ran = await cluster.it.docker(['run', '--rm', ...onRunc(...args)]);
      expect([ran.code, ran.stderr]).toEqual([code, expect.stringContaining(words)]);
    }
    expect(await docker('ps', '-aq')).toBe('');
  });
});

const podOn = (name: string, runtimeClassName: string): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      runtimeClassName,
      terminationGracePeriodSeconds: 0,
      containers: [{ name: 'c', image, command: ['sleep', '4004'], readinessProbe: { exec: { command: ['true'] } } }],
    },
  });

const runtimeClass = (name: string, handler: string): string =>
  JSON.stringify({ apiVersion: 'node.k8s.io/v1', kind: 'RuntimeClass', metadata: { name }, handler });

describe('a RuntimeClass', () => {
  it('brings the pods that name it to its handler', async () => {
    await cluster.it.apply(runtimeClass('other', 'runc'));
    await cluster.it.apply(podOn('other', 'other'));
    await cluster.it.mustKubectl(['wait', 'pod/other', '--for=condition=Ready', '--timeout=30s']);
    const id = await cluster.it.mustKubectl([
      'get',
      'pod',
      'other',
      '-o',
      'jsonpath={.status.containerStatuses[0].containerID}',
    ]);
    expect(isRuncs(id.replace(/^.*\/\//, ''))).toBe(true);
    expect(await cluster.it.mustKubectl(['exec', 'other', '--', 'echo', 'from inside'])).toBe('from inside\n');
    await cluster.it.mustKubectl(['delete', 'pod', 'other']);
  });

  it('with a handler that nobody knows keeps its pods from starting, and says so', async () => {
    await cluster.it.apply(runtimeClass('unknown', 'nosuch'));
    await cluster.it.apply(podOn('unknown', 'unknown'));
    await eventually(async () =>
      expect(await cluster.it.mustKubectl(['get', 'events', '-o', 'jsonpath={..message}'])).toContain(
        'no runtime for "nosuch" is configured',
      ),
    );
    await cluster.it.mustKubectl(['delete', 'pod', 'unknown']);
  });
});

// Last: it takes the registration away.
describe('kill -9 of the daemon', () => {
  it('leaves containers with the runtime that they were started with, whatever is registered then', async () => {
    // Not by runc's own name, which the machine may know without being told.
    const onQuiet = (...args: string[]): string[] => ['--runtime', 'quiet', ...args];
    const id = await docker('run', '-d', '--name', 'kept', ...onQuiet(image, 'sleep', '4005'));
    await docker('create', '--name', 'never', ...onQuiet(image, 'true'));
    await cluster.it.killDaemon();
    const up = await cluster.it.wherry(['up', '--quiet', '--add-runtime=']);
    expect([up.code, up.stderr]).toEqual([0, '']);
    expect(isRuncs(id, 'quiet')).toBe(true);
    expect(await docker('exec', 'kept', 'echo', 'still here')).toBe('still here\n');
    await docker('stop', '-t', '0', 'kept');
    await eventually(() => expect(isRuncs(id, 'quiet')).toBe(false));
    for (const name of ['kept', 'never'])
      expect((await cluster.it.docker(['start', name])).stderr).toContain('no runtime for "quiet" is configured');
    const refused = await cluster.it.docker(['create', ...onQuiet(image, 'true')]);
    expect(refused.stderr).toContain('unknown or invalid runtime name: quiet');
    await docker('rm', 'kept', 'never');
  });
});
