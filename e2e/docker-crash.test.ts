import { once } from 'node:events';
import { watch } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { bindUdpInNetns } from '@wherry/linux';
import type { Running } from '@wherry/testkit';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { engineFootprint } from './engine-footprint.ts';
import { eventually } from './eventually.ts';
import { useCluster } from './shared-cluster.ts';

const cluster = useCluster({ upArgs: ['--engine-only'] });
const image = 'busybox:1.35';
const sleep = ['sleep', '4001'];

const docker = (...args: string[]): Promise<string> => cluster.it.mustDocker(args);
const linesOf = (text: string): string[] => text.split('\n').filter(Boolean);

/** Runs a container behind everything else; gives nothing. */
const run = (name: string, ...args: string[]): Promise<string> => docker('run', '-d', '--name', name, ...args);

/** What a template gives for each of the containers. */
const inspect = async (template: string, ...names: string[]): Promise<string[]> =>
  (await docker('inspect', '-f', template, ...names)).trimEnd().split('\n');

/** All containers with their states, by name. */
async function states(): Promise<Record<string, string>> {
  const lines = linesOf(await docker('ps', '-a', '--format', '{{.Names}} {{.State}}'));
  return Object.fromEntries(lines.map((line) => line.split(' ') as [string, string]));
}

/** Until no process of a container has these words in its command. */
const gone = (words: string): Promise<void> =>
  eventually(async () => {
    const commands = (await cluster.it.processes()).map(({ command }) => command);
    expect(commands.filter((command) => command.includes(words))).toEqual([]);
  });

let clean: string[];
beforeAll(async () => {
  // A first container leaves the default bridge with its rules, and the cgroups above its own.
  await docker('run', '--rm', '-p', '18099:80', image, 'true');
  clean = await engineFootprint(cluster.it);
});

// Clean-up goes on behind the answer to a removal.
afterEach(async () => {
  const left = linesOf(await docker('ps', '-aq'));
  if (left.length > 0) await docker('rm', '-fv', ...left);
  await eventually(async () => expect(await engineFootprint(cluster.it)).toEqual(clean));
});

describe('kill -9 of the daemon', () => {
  it('leaves what runs as it is, and the next one goes on with it', async () => {
    const k = cluster.it;
    await docker('network', 'create', 'net');
    await docker('volume', 'create', 'data');
    const again = 'echo x >> /runs; [ $(wc -l < /runs) -lt 3 ] && exit 3; exec sleep 4001';
    const health = ['--health-cmd', 'test -e /ok', '--health-interval', '100ms', '--health-retries', '2'];
    const web = ['--network', 'net', '--network-alias', 'www', '-p', '18080:80', '-p', '18053:53/udp', '-v', 'data:/data']; // biome-ignore format: one command
    await Promise.all([
      run('plain', image, ...sleep),
      run('always', '--restart', 'always', image, ...sleep),
      run('unless', '--restart', 'unless-stopped', image, ...sleep),
      run('retried', '--restart', 'on-failure:5', image, 'sh', '-c', again),
      run('web', ...web, 'nginx:1.22'),
      run('peer', '--network', 'net', '-v', 'data:/data', image, 'sh', '-c', 'echo kept > /data/file; exec sleep 4001'),
      run('frozen', image, ...sleep),
      run('well', ...health, image, 'sh', '-c', 'touch /ok; exec sleep 4001'),
      run('talker', image, 'sh', '-c', 'i=0; while :; do i=$((i+1)); echo $i; usleep 1000; done'),
      run('stopped-always', '--restart', 'always', image, ...sleep),
      run('stopped-unless', '--restart', 'unless-stopped', image, ...sleep),
    ]);
    await Promise.all([docker('stop', '-t', '0', 'stopped-always', 'stopped-unless'), docker('pause', 'frozen')]);
    await eventually(async () =>
      expect(await inspect('{{.RestartCount}} {{.State.Status}}', 'retried')).toEqual(['2 running']),
    );
    await eventually(async () => expect(await inspect('{{.State.Health.Status}}', 'well')).toEqual(['healthy']));
    const [pid] = await inspect('{{.State.Pid}}', 'web');
    const echo = await bindUdpInNetns(`/proc/${pid}/ns/net`, '0.0.0.0', 53);
    echo.on('message', (message, { port, address }) => echo.send(`echo ${String(message)}`, port, address));
    await using exec = k.startDocker(['exec', 'plain', 'sleep', '4002']);
    await using follower = k.startDocker(['logs', '-f', 'talker']);
    await using waiter = k.startDocker(['wait', 'plain']);
    await follower.waitFor('\n100\n');
    await eventually(async () => expect((await k.processes()).map(({ command }) => command)).toContain('sleep 4002'));

    const kept = ['plain', 'always', 'unless', 'retried', 'web', 'peer', 'frozen', 'well', 'talker', 'stopped-unless'];
    const facts =
      '{{.Name}} {{.RestartCount}} {{json .NetworkSettings.Ports}} {{json .NetworkSettings.Networks}} {{json .Mounts}} {{.State.Status}} {{.State.Pid}} {{.State.ExitCode}} {{.State.StartedAt}} {{.State.FinishedAt}}';
    const before = await inspect(facts, ...kept);
    await k.killDaemon();
    expect((await exec.exited).code).not.toBe(0);
    expect((await waiter.exited).code).not.toBe(0);
    const followed = linesOf((await follower.exited).stdout);
    await k.startAgain();
    expect(await inspect('{{.State.Health.Status}} {{gt (len .State.Health.Log) 0}}', 'well')).toEqual([
      'healthy true',
    ]);
    expect(await inspect(facts, ...kept)).toEqual(before);
    expect(await inspect('{{.State.Status}}', 'stopped-always')).toEqual(['running']);

    // Logs are whole: what the client saw is their beginning, and nothing is missing after it.
    const logged = linesOf(await docker('logs', 'talker')).map(Number);
    expect(logged).toEqual(logged.map((_, index) => index + 1));
    expect(logged.slice(0, followed.length)).toEqual(followed.map(Number));
    expect(logged.length).toBeGreaterThan(followed.length);

    // Ports, names, volumes.
    for (const host of ['127.0.0.1', '[::1]']) {
      const { stdout } = await k.machine.run('curl', ['-s', '--max-time', '5', `http://${host}:18080/`]);
      expect(stdout).toContain('Welcome to nginx!');
    }
    expect((await k.docker(['run', '--rm', '-p', '18080:80', image, 'true'])).stderr).toContain('already allocated');
    const client = await bindUdpInNetns(k.machine.netns, '0.0.0.0', 0);
    const answer = once(client, 'message', { signal: AbortSignal.timeout(5000) });
    client.send('hello', 18_053, '127.0.0.1');
    expect(String((await answer)[0])).toBe('echo hello');
    client.close();
    echo.close();
    for (const name of ['web', 'www']) expect(await docker('exec', 'peer', 'wget', '-qO-', name)).toContain('Welcome');
    expect(await docker('exec', 'web', 'cat', '/data/file')).toBe('kept\n');
    expect((await k.docker(['volume', 'rm', 'data'])).stderr).toContain('volume is in use');

    // What was frozen thaws; checks go on; who lost its client runs on until its container ends.
    await docker('unpause', 'frozen');
    await docker('exec', 'well', 'rm', '/ok');
    await eventually(async () => expect(await inspect('{{.State.Health.Status}}', 'well')).toEqual(['unhealthy']));
    expect(await docker('top', 'plain')).toContain('sleep 4002');
    await docker('rm', '-fv', ...Object.keys(await states()));
    await gone('sleep 4002');
    await docker('network', 'rm', 'net');
    await docker('volume', 'rm', 'data');
  });

  it('loses no end that comes meanwhile', async () => {
    const k = cluster.it;
    const signals = join(k.machine.directory, 'signals');
    await mkdir(signals);
    const late = (name: string, end: string, ...args: string[]): Promise<string> =>
      run(name, '-v', `${signals}:/signals`, ...args, image, 'sh', '-c', `until [ -e /signals/go ]; do usleep 20000; done; echo bye; ${end}`); // biome-ignore format: one command
    await Promise.all([
      late('plain', 'exit 7'),
      late('oom', 'exec tail /dev/zero', '--memory', '16m'),
      late('removed', 'exit 1', '--rm', '-v', '/anonymous'),
      late('always', '[ -e /once ] && exec sleep 4001; touch /once; exit 3', '--restart', 'always'),
      late('failed', 'exit 4', '--restart', 'on-failure:1'),
      late('done', 'exit 0', '--restart', 'on-failure'),
    ]);
    await k.killDaemon();
    await writeFile(join(signals, 'go'), '');
    await gone('signals/go');
    const woken = Date.now();
    await k.startAgain();
    const state = '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}} {{.RestartCount}}';
    expect(await inspect(state, 'plain', 'oom', 'done')).toEqual(['exited 7 false 0', 'exited 137 true 0', 'exited 0 false 0']); // biome-ignore format: a table
    const [finished] = await inspect('{{.State.FinishedAt}}', 'plain');
    expect(Date.parse(finished!)).toBeLessThanOrEqual(woken);
    expect(await docker('logs', 'plain')).toBe('bye\n');
    expect((await k.docker(['inspect', 'removed'])).stderr.toLowerCase()).toContain('no such');
    expect(await docker('volume', 'ls', '-q')).toBe('');
    await eventually(async () =>
      expect(await inspect(state, 'always', 'failed')).toEqual(['running 0 false 1', 'exited 4 false 1']),
    );
  });
});

/** Runs a command for each name side by side and kills the daemon at the given answer; gives those that it answered. */
async function killedAt(answer: number, names: readonly string[], command: (name: string) => string[]) {
  const k = cluster.it;
  const pid = await k.daemonPid();
  let answers = 0;
  const ended = async (running: Running): Promise<boolean> => {
    const { code } = await running.exited;
    if (code === 0 && ++answers === answer) process.kill(pid, 'SIGKILL');
    return code === 0;
  };
  const done = await Promise.all(names.map((name) => ended(k.startDocker(command(name)))));
  await k.daemonEnded(pid);
  await k.startAgain();
  return names.filter((_, index) => done[index]);
}

describe.each([1, 4])('kill -9 of the daemon at the answer %d of 8', (answer) => {
  const names = Array.from({ length: 8 }, (_, index) => `many-${index}`);

  it('to create', async () => {
    const made = await killedAt(answer, names, (name) => ['create', '--name', name, '-v', '/anonymous', image, ...sleep]); // biome-ignore format: one command
    const there = await states();
    expect(made.filter((name) => there[name] !== 'created')).toEqual([]);
    expect(new Set(Object.values(there))).toEqual(new Set(['created']));
    // Of what did not become a container nothing is left.
    expect(linesOf(await docker('volume', 'ls', '-q'))).toHaveLength(Object.keys(there).length);
    await docker('start', ...Object.keys(there));
  });

  it('to start', async () => {
    await Promise.all(names.map((name) => docker('create', '--name', name, image, ...sleep)));
    const started = await killedAt(answer, names, (name) => ['start', name]);
    const there = await states();
    expect(started.filter((name) => there[name] !== 'running')).toEqual([]);
    expect(Object.keys(there).sort()).toEqual(names);
    await docker('start', ...names);
    expect(new Set(Object.values(await states()))).toEqual(new Set(['running']));
    expect((await cluster.it.processes()).filter(({ command }) => command === sleep.join(' '))).toHaveLength(8);
  });

  it('to stop', async () => {
    const trap = 'trap "exit 5" TERM; while :; do usleep 10000; done';
    await Promise.all(names.map((name) => run(name, '--restart', 'unless-stopped', image, 'sh', '-c', trap)));
    const stopped = await killedAt(answer, names, (name) => ['stop', name]);
    const there = await states();
    expect(stopped.filter((name) => there[name] !== 'exited')).toEqual([]);
    await docker('stop', ...names);
    expect(await inspect('{{.State.Status}} {{.State.ExitCode}}', ...names)).toEqual(names.map(() => 'exited 5'));
  });

  it('to run', async () => {
    const options = ['-d', '--rm', '-p', '80', '-v', '/anonymous'];
    const ran = await killedAt(answer, names, (name) => ['run', '--name', name, ...options, image, ...sleep]);
    const there = await states();
    expect(ran.filter((name) => there[name] !== 'running')).toEqual([]);
    // What was made and did not run yet is gone, with all that it had.
    expect(new Set(Object.values(there))).toEqual(new Set(['running']));
    expect(linesOf(await docker('volume', 'ls', '-q'))).toHaveLength(Object.keys(there).length);
    const ports = linesOf(await docker('ps', '--format', '{{.Ports}}'));
    expect(ports.filter((port) => !/0\.0\.0\.0:\d+->80/.test(port))).toEqual([]);
  });

  it('to remove', async () => {
    await Promise.all(names.map((name) => run(name, '-v', '/anonymous', image, ...sleep)));
    const removed = await killedAt(answer, names, (name) => ['rm', '-f', name]);
    const there = await states();
    expect(removed.filter((name) => there[name] !== undefined)).toEqual([]);
    // Volumes without a name stay unless their removal was asked for.
    expect(linesOf(await docker('volume', 'ls', '-q'))).toHaveLength(8);
    await docker('volume', 'prune', '-f');
  });
});

it('kill -9 of the daemon while it rotates a log loses no line', async () => {
  const k = cluster.it;
  const options = ['--log-opt', 'max-size=20k', '--log-opt', 'max-file=3'];
  await run('talker', ...options, image, 'sh', '-c', 'i=0; while :; do i=$((i+1)); echo $i; usleep 1000; done');
  const [path] = await inspect('{{.LogPath}}', 'talker');
  for (let round = 0; round < 3; round++) {
    const pid = await k.daemonPid();
    const watcher = watch(dirname(path!));
    for (;;) {
      const [event, name] = (await once(watcher, 'change')) as [string, string];
      if (event === 'rename' && name === `${basename(path!)}.1`) break;
    }
    process.kill(pid, 'SIGKILL');
    watcher.close();
    await k.daemonEnded(pid);
    await k.startAgain();
    const numbers = linesOf(await docker('logs', 'talker')).map(Number);
    expect(numbers).toEqual(numbers.map((_, index) => numbers[0]! + index));
    expect(numbers.length).toBeGreaterThan(100);
  }
});

it('down lets containers end by themselves, up brings back whom its policy wants', async () => {
  const k = cluster.it;
  await docker('network', 'create', 'net');
  const trap = 'trap "exit 5" TERM; while :; do usleep 10000; done';
  const web = ['--restart', 'always', '--network', 'net', '-p', '18080:80'];
  await Promise.all([
    run('web', ...web, 'nginx:1.22'),
    run('peer', '--restart', 'unless-stopped', '--network', 'net', image, 'sh', '-c', trap),
    run('failing', '--restart', 'on-failure:3', image, 'sh', '-c', trap),
    run('finishing', '--restart', 'on-failure:3', 'nginx:1.22'),
    run('plain', image, 'sh', '-c', trap),
    run('stubborn', '--stop-timeout', '1', image, ...sleep),
    run('removed', '--rm', '-v', '/anonymous', image, 'sh', '-c', trap),
    run('frozen', image, 'sh', '-c', trap),
    run('stopped-always', '--restart', 'always', 'nginx:1.22'),
    run('stopped-unless', '--restart', 'unless-stopped', 'nginx:1.22'),
    docker('create', '--name', 'never', '--restart', 'always', image, ...sleep),
  ]);
  // It comes before the one that it joins in every order but that of needs.
  await run('a-joined', '--restart', 'always', '--network', 'container:web', image, 'sh', '-c', trap);
  await Promise.all([docker('stop', 'stopped-always', 'stopped-unless'), docker('pause', 'frozen')]);
  const since = ['--since', `${Date.now() / 1000}`];
  const format = ['--format', '{{.Actor.Attributes.name}}'];
  await using events = k.startDocker(['events', ...since, '--filter', 'event=die', ...format]);
  const ports = await inspect('{{json .HostConfig.PortBindings}} {{json .NetworkSettings.Ports}}', 'web');
  expect(await k.wherry(['down', '--quiet'])).toMatchObject({ code: 0, stderr: '' });
  const died = linesOf((await events.exited).stdout).sort();
  expect(died).toEqual(['a-joined', 'failing', 'finishing', 'frozen', 'peer', 'plain', 'removed', 'stubborn', 'web']);
  await k.startAgain();
  expect(await states()).toEqual({
    web: 'running',
    peer: 'running',
    failing: 'running',
    'stopped-always': 'running',
    'a-joined': 'running',
    finishing: 'exited',
    plain: 'exited',
    stubborn: 'exited',
    frozen: 'exited',
    'stopped-unless': 'exited',
    never: 'created',
  });
  const codes = await inspect('{{.State.ExitCode}}', 'finishing', 'plain', 'stubborn', 'frozen');
  expect(codes).toEqual(['0', '5', '137', '5']);
  expect(await docker('volume', 'ls', '-q')).toBe('');
  expect(await inspect('{{json .HostConfig.PortBindings}} {{json .NetworkSettings.Ports}}', 'web')).toEqual(ports);
  await eventually(async () => {
    const { stdout } = await k.machine.run('curl', ['-s', '--max-time', '5', 'http://127.0.0.1:18080/']);
    expect(stdout).toContain('Welcome to nginx!');
  });
  expect(await docker('exec', 'peer', 'wget', '-qO-', 'web')).toContain('Welcome');
  expect(await docker('exec', 'a-joined', 'wget', '-qO-', '127.0.0.1')).toContain('Welcome');
  await docker('rm', '-fv', ...Object.keys(await states()));
  await docker('network', 'rm', 'net');
});
