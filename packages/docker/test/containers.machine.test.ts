import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, messageOf } from '@wherry/base';
import { busyboxImage } from '@wherry/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { JsonObject } from '../src/index.ts';
import { type DockerMachine, dockerMachine } from './docker-machine.ts';

let machine: DockerMachine;
const never = new AbortController().signal;

beforeAll(async () => {
  machine = await dockerMachine();
});

afterAll(async () => {
  await machine[Symbol.asyncDispose]();
});

interface RunResult {
  readonly id: string;
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function body(command: readonly string[], host: JsonObject = {}, config: JsonObject = {}): JsonObject {
  return {
    Image: 'busybox',
    Cmd: command,
    AttachStdout: true,
    AttachStderr: true,
    ...config,
    HostConfig: { NetworkMode: 'none', ...host },
  };
}

/** As `docker run` does it: create, attach, wait, start. */
async function run(command: readonly string[], host: JsonObject = {}, config: JsonObject = {}): Promise<RunResult> {
  const { containers } = machine;
  const { Id: id } = await containers.create(body(command, host, config), {});
  const attached = await containers.attach(id, { stream: true, logs: false, stdin: false, stdout: true, stderr: true });
  const { result } = await containers.wait(id, host.AutoRemove === true ? 'removed' : 'next-exit', never);
  const read = async (stream: NodeJS.ReadableStream | undefined): Promise<string> => {
    let text = '';
    for await (const chunk of stream ?? []) text += String(chunk);
    return text;
  };
  const output = Promise.all([read(attached.session.stdout), read(attached.session.stderr)]);
  await containers.start(id);
  const [out, err] = await output;
  const { StatusCode: code } = await result;
  await attached[Symbol.asyncDispose]();
  return { id, code, out, err };
}

test('runs a command, gives its output and exit code, and removes it', async () => {
  const { id, code, out, err } = await run(['sh', '-c', 'echo out; echo err >&2; exit 3'], { AutoRemove: true });
  expect({ code, out, err }).toEqual({ code: 3, out: 'out\n', err: 'err\n' });
  await expect(machine.containers.inspect(id, { size: false })).rejects.toThrow(`No such container: ${id}`);
});

test('says in the words of runc what cannot run', async () => {
  const { containers } = machine;
  const { Id: id } = await containers.create(body(['nosuchcmd']), { name: 'cannot' });
  await expect(containers.start(id)).rejects.toMatchObject({
    code: 'invalid',
    message:
      'failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "nosuchcmd": executable file not found in $PATH: unknown',
  });
  expect((await containers.inspect(id, { size: false })).State).toMatchObject({ Status: 'created', ExitCode: 127 });
  await containers.remove('cannot', { force: false, volumes: false, link: false });
});

const state = async (reference: string): Promise<JsonObject> =>
  (await machine.containers.inspect(reference, { size: false })).State as JsonObject;

async function started(
  name: string,
  command: readonly string[],
  host: JsonObject = {},
  config: JsonObject = {},
): Promise<string> {
  const { Id } = await machine.containers.create(body(command, host, config), { name });
  await machine.containers.start(name);
  return Id;
}

/** Waits for a text in its log. */
async function saying(name: string, text: string): Promise<void> {
  const options = { follow: true, stdout: true, stderr: true, timestamps: false, details: false };
  const { output } = await machine.containers.logs(name, options);
  let said = '';
  for await (const piece of output) {
    said += piece.toString('latin1');
    if (said.includes(text)) return;
  }
}

const remove = (name: string, volumes = false): Promise<void> =>
  machine.containers.remove(name, { force: true, volumes, link: false });

test('stops, starts again with the same files, restarts, pauses, kills', async () => {
  const { containers } = machine;
  await started('life', [
    'sh',
    '-c',
    'echo run >> /runs; trap "exit 9" TERM; echo ready; while :; do sleep 0.05; done',
  ]);
  await saying('life', 'ready');
  expect(await containers.start('life')).toBe(false);
  await expect(containers.remove('life', { force: false, volumes: false, link: false })).rejects.toThrow(
    'cannot remove container "/life": container is running: stop the container before removing or force remove',
  );
  for (const signal of ['BOGUS', '0']) {
    const wrong = `invalid signal: ${signal}`;
    await expect(containers.stop('life', { signal })).rejects.toThrow(`cannot stop container: life: ${wrong}`);
    await expect(containers.restart('life', { signal })).rejects.toThrow(`Cannot restart container life: ${wrong}`);
    await expect(containers.kill('nosuch', signal)).rejects.toThrow(`cannot kill container: nosuch: ${wrong}`);
  }
  expect(await containers.stop('life', { timeout: 5 })).toBe(true);
  expect(await state('life')).toMatchObject({ Status: 'exited', ExitCode: 9, Pid: 0 });
  expect(await containers.stop('life', { signal: 'BOGUS' })).toBe(false);
  await expect(containers.pause('life')).rejects.toThrow(/^container .* is not running$/);
  await containers.start('life');
  await containers.restart('life', { timeout: 0 });
  expect(await state('life')).toMatchObject({ Status: 'running', Running: true });
  await containers.pause('life');
  await expect(containers.pause('life')).rejects.toMatchObject({ code: 'conflict' });
  expect(await state('life')).toMatchObject({ Status: 'paused', Running: true, Paused: true });
  await expect(containers.createExec('life', { Cmd: ['true'] })).rejects.toThrow(
    'Container life is paused, unpause the container before exec',
  );
  await containers.unpause('life');
  const { Id: exec } = await containers.createExec('life', { Cmd: ['head', '-n1', '/runs'], AttachStdout: true });
  const streams = await containers.startExec(exec, { detach: false, tty: false });
  let text = '';
  for await (const chunk of streams?.session.stdout ?? []) text += String(chunk);
  expect(text).toBe('run\n');
  expect(await streams?.session.exit).toBe(0);
  expect(await containers.inspectExec(exec)).toMatchObject({ Running: false, ExitCode: 0 });
  await containers.kill('life', 'KILL');
  expect(await state('life')).toMatchObject({ Status: 'exited', ExitCode: 137 });
  await expect(containers.kill('life', 'KILL')).rejects.toThrow(
    /^cannot kill container: life: container .* is not running$/,
  );
  await remove('life');
});

test('a command goes on without its client, and ends with the container', async () => {
  const { containers } = machine;
  await started('host', ['sleep', '600']);
  const asked = { AttachStdin: true, AttachStdout: true, AttachStderr: true };
  const exits: Promise<number>[] = [];
  for (const Tty of [false, true]) {
    // A shell that waits by itself, without another process.
    const words = ['sh', '-c', 'mkfifo /f$$; echo on; read line < /f$$'];
    const { Id } = await containers.createExec('host', { ...asked, Tty, Cmd: words });
    const streams = (await containers.startExec(Id, { detach: false, tty: Tty }))!;
    expect(String((await once(streams.session.stdout!, 'data'))[0]).trim()).toBe('on');
    exits.push(streams.session.exit);
    if (Tty) streams.session.stdin!.end();
    await streams[Symbol.asyncDispose]();
    expect(await containers.inspectExec(Id)).toMatchObject({ Running: true, ExitCode: null });
  }
  const { Processes } = await containers.top('host', '-o pid,args');
  expect(Processes.filter(([, words = '']) => words.includes('read line'))).toHaveLength(2);
  await expect(containers.createExec('host', { Cmd: ['true'], DetachKeys: 'x,,' })).rejects.toThrow(
    'Invalid escape keys (x,,) provided',
  );
  await containers.stop('host', { timeout: 0 });
  expect(await Promise.all(exits)).toEqual([137, 137]);
  await remove('host');
});

test('a command knows its home, and says why it cannot run', async () => {
  const { containers } = machine;
  await started('home', ['sleep', '600']);
  const output = async (exec: JsonObject): Promise<string> => {
    const { Id } = await containers.createExec('home', { AttachStdout: true, ...exec });
    const streams = (await containers.startExec(Id, { detach: false, tty: false }))!;
    let text = '';
    for await (const chunk of streams.session.stdout!) text += String(chunk);
    // The client asks once the connection is closed.
    await streams[Symbol.asyncDispose]();
    expect(await containers.inspectExec(Id)).toMatchObject({ Running: false, ExitCode: 0 });
    return text;
  };
  const home = ['sh', '-c', 'echo $HOME'];
  expect(await output({ Cmd: home, User: '4321' })).toBe('/\n');
  expect(await output({ Cmd: home, User: '4321', Env: ['HOME=/own'] })).toBe('/own\n');
  expect(await output({ Cmd: home, User: '0' })).toBe('/root\n');
  expect((await run(home, { AutoRemove: true }, { User: '4321' })).out).toBe('/\n');
  const failed = 'OCI runtime exec failed: exec failed: ';
  await expect(output({ Cmd: ['true'], WorkingDir: 'etc' })).rejects.toThrow(
    `${failed}Cwd must be an absolute path: unknown`,
  );
  await expect(output({ Cmd: [''] })).rejects.toThrow(`${failed}unable to start container process: exec: "": `);
  await expect(output({ Cmd: ['true'], User: '-1' })).rejects.toThrow('uids and gids must be in range 0-2147483647');
  await remove('home');
});

test('links name containers, follow their names, and go alone', async () => {
  const { containers } = machine;
  await started('target', ['sleep', '600'], { NetworkMode: 'bridge' });
  await started('parent', ['sleep', '600'], { NetworkMode: 'bridge', Links: ['target:db', '/target:other'] });
  const names = async (): Promise<unknown> =>
    (await containers.list({ all: true, size: false, filters: new Map([['name', ['target']]]) })).map(
      ({ Names }) => Names,
    );
  const links = async (): Promise<unknown> =>
    ((await containers.inspect('parent', { size: false })).HostConfig as JsonObject).Links;
  expect(await names()).toEqual([['/target', '/parent/db', '/parent/other']]);
  expect((await containers.inspect('parent/db', { size: false })).Name).toBe('/target');
  await containers.rename('target', 'target2');
  expect(await links()).toEqual(['/target2:/parent/db', '/target2:/parent/other']);
  await containers.restart('parent', { timeout: 0 });
  const link = (reference: string): Promise<void> =>
    containers.remove(reference, { force: false, volumes: false, link: true });
  await link('/parent/db');
  expect(await links()).toEqual(['/target2:/parent/other']);
  await expect(link('parent/db')).rejects.toThrow('No such container: parent/db');
  await expect(link('parent')).rejects.toThrow('Conflict, cannot remove the default link name of the container');
  await remove('target2');
  await expect(containers.restart('parent', { timeout: 0 })).rejects.toThrow(
    'Cannot restart container parent: Cannot link to a non running container: /target2 AS /parent/other',
  );
  await remove('parent');
});

test('tells of volumes behind networks, of memory that ran out, and of a commit within its pause', async () => {
  const { containers } = machine;
  const since = BigInt(Date.now()) * 1_000_000n;
  await started('told-of', ['sleep', '600'], { Binds: ['told:/v'], NetworkMode: 'bridge' }, { Labels: { l: '1' } });
  await containers.commit({ container: 'told-of', repo: 'told-of', tag: '1', pause: true, changes: [], config: {} });
  await containers.stop('told-of', { timeout: 0 });
  await remove('told-of', true);
  await run(['tail', '/dev/zero'], { Memory: 8 << 20, AutoRemove: true }, {});
  const found: string[] = [];
  const range = { since, until: BigInt(Date.now() + 2) * 1_000_000n };
  for await (const { Type, Action } of machine.events.read(range, never)) found.push(`${Type} ${Action}`);
  expect(found.slice(found.indexOf('volume create'))).toEqual([
    'volume create',
    'container create',
    'network connect',
    'volume mount',
    'container start',
    'container pause',
    'container commit',
    'container unpause',
    'container kill',
    'container kill',
    'network disconnect',
    'volume unmount',
    'container stop',
    'container die',
    'container destroy',
    'container create',
    'container attach',
    'container start',
    'container oom',
    'container die',
    'container destroy',
  ]);
  await machine.volumes.remove('told');
});

test('a policy starts it again until it has failed often enough', async () => {
  const { containers } = machine;
  await started('again', ['sh', '-c', 'exit 7'], { RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 2 } });
  for (;;) {
    const { result } = await containers.wait('again', 'not-running', never);
    await result;
    const { Status } = await state('again');
    if (Status === 'exited') break;
  }
  expect(await containers.inspect('again', { size: false })).toMatchObject({
    RestartCount: 2,
    State: { Status: 'exited', ExitCode: 7, Running: false, Restarting: false },
  });
  await remove('again');
});

test('what runs is taken over; what ended meanwhile is settled; what removes itself is gone', async () => {
  const { containers } = machine;
  const signals = join(machine.folder, 'signals');
  await mkdir(signals);
  const waiting = (then: string): string[] => ['sh', '-c', `until [ -e /signals/go ]; do sleep 0.02; done; ${then}`];
  const Binds = [`${signals}:/signals`];
  await started('goes-on', ['sleep', '600']);
  await started('ended', waiting('exit 4'), { Binds });
  await started('cleaned', waiting('exit 0'), { Binds, AutoRemove: true });
  const ends = ['ended', 'cleaned'].map(async (name) => {
    const id = (await containers.inspect(name, { size: false })).Id as string;
    return {
      id,
      exit: (await machine.engine.attach(id, { tty: false, stdin: false, stdout: true, stderr: true })).exit,
    };
  });
  const exits = await Promise.all(ends);
  // The former one sees nothing of it.
  await containers[Symbol.asyncDispose]();
  await writeFile(join(signals, 'go'), '');
  for (const { exit } of exits) await exit;
  await machine.reopen();
  expect(await state('goes-on')).toMatchObject({ Status: 'running', ExitCode: 0 });
  expect(await state('ended')).toMatchObject({ Status: 'exited', ExitCode: 4 });
  await expect(machine.containers.inspect('cleaned', { size: false })).rejects.toMatchObject({ code: 'notFound' });
  expect(await machine.containers.stop('goes-on', { timeout: 0 })).toBe(true);
  await remove('goes-on');
  await remove('ended');
});

test('volumes: named and anonymous, filled from the image, kept or dropped', async () => {
  expect(
    (
      await run(['sh', '-c', 'cat /etc/passwd | head -1; echo x > /etc/new'], {
        Binds: ['filled:/etc'],
        AutoRemove: true,
      })
    ).out,
  ).toMatch(/^root:/);
  expect((await run(['cat', '/data/new'], { Binds: ['filled:/data:ro'], AutoRemove: true })).out).toBe('x\n');
  const { id } = await run(['touch', '/anon/file'], {}, { Volumes: { '/anon': {} } });
  expect((await run(['ls', '/anon'], { VolumesFrom: [id], AutoRemove: true })).out).toBe('file\n');
  expect(machine.volumes.list().filter(({ anonymous }) => anonymous)).toHaveLength(1);
  await remove(id, true);
  expect(machine.volumes.list().map(({ name }) => name)).toEqual(['filled']);
  await machine.volumes.remove('filled');
});

test('logs, top, stats and the list tell of it', async () => {
  const { containers } = machine;
  await started(
    'told',
    ['sh', '-c', 'echo one; echo two >&2; read line'],
    { LogConfig: { Type: '', Config: { labels: 'a' } } },
    { Labels: { a: 'b' }, OpenStdin: true },
  );
  const read = async (options: Partial<Parameters<typeof containers.logs>[1]>): Promise<string> => {
    const { output } = await containers.logs('told', {
      follow: false,
      stdout: true,
      stderr: true,
      timestamps: false,
      details: false,
      ...options,
    });
    const pieces: Buffer[] = [];
    for await (const piece of output) pieces.push(piece);
    return Buffer.concat(pieces).toString('latin1');
  };
  await saying('told', 'two');
  expect(await read({ tail: 1, details: true, stderr: false })).toBe('');
  expect(await read({ details: true, stderr: false })).toBe('\x01\0\0\0\0\0\0\x08a=b one\n');
  const { Titles, Processes } = await containers.top('told', '');
  expect(Titles.slice(0, 3)).toEqual(['UID', 'PID', 'PPID']);
  expect(Processes.map((row) => row.at(-1))).toEqual(['sh -c echo one; echo two >&2; read line']);
  for await (const sample of await containers.stats('told', { stream: false, oneShot: false }, never))
    expect(sample).toMatchObject({ name: '/told', pids_stats: { current: 1 } });
  const list = await containers.list({ all: false, size: true, filters: new Map([['name', ['^/told$']]]) });
  expect(list).toMatchObject([
    {
      Names: ['/told'],
      State: 'running',
      Command: "sh -c 'echo one; echo two >&2; read line'",
      SizeRootFs: expect.any(Number),
    },
  ]);
  expect(list[0]).not.toHaveProperty('SizeRw');
  for (const [name, value, refusal] of [
    ['health', 'bogus', 'unrecognized filter value for health: bogus'],
    ['exited', 'x', `invalid filter 'exited=x': strconv.Atoi: parsing "x": invalid syntax`],
    ['is-task', 'maybe', "invalid filter 'is-task=[maybe]'"],
    ['publish', 'abc', 'error while looking up for publish abc: strconv.ParseUint: parsing "abc": invalid syntax'],
    [
      'expose',
      '1-70000',
      'error while looking up for expose 1-70000: strconv.ParseUint: parsing "70000": value out of range',
    ],
    ['', 'x', 'invalid filter'],
  ] as const)
    await expect(containers.list({ all: true, size: false, filters: new Map([[name, [value]]]) })).rejects.toThrow(
      expect.objectContaining({ message: refusal }),
    );
  await expect(containers.top('told', '-o pid,comm=PID')).rejects.toThrow('specifying "pid,comm=PID" is not allowed');
  await remove('told');
});

test('a health check makes it healthy', async () => {
  await started('well', ['sleep', '600'], {}, { Healthcheck: { Test: ['CMD-SHELL', 'exit 0'], Interval: 20_000_000 } });
  const events = machine.events.read({ since: 0n }, never);
  for await (const { Action } of events) if (Action === 'health_status: healthy') break;
  expect(await state('well')).toMatchObject({ Health: { Status: 'healthy', FailingStreak: 0 } });
  await remove('well');
});

test('commits what a container has written, with changes of its config', async () => {
  const { id } = await run(['sh', '-c', 'echo v > /written']);
  const made = await machine.containers.commit({
    container: id,
    repo: 'committed',
    tag: 'v1',
    comment: 'why',
    pause: true,
    changes: ['CMD ["cat","/written"]', 'ENV K="a b"', 'EXPOSE 99'],
  });
  const bad = machine.containers.commit({
    container: id,
    repo: 'committed',
    tag: 'b d',
    pause: true,
    changes: [],
    config: {},
  });
  await expect(bad).rejects.toThrow(/^invalid tag format$/);
  const image = await machine.images.details('committed:v1');
  expect(image.id).toBe(made.Id);
  expect(image.config.config).toMatchObject({ Cmd: ['cat', '/written'], ExposedPorts: { '99/tcp': {} } });
  expect(image.config.config?.Env).toContain('K=a b');
  expect(image.config.history?.at(-1)).toMatchObject({ created_by: 'sh -c echo v > /written', comment: 'why' });
  expect((await run([], { AutoRemove: true }, { Image: 'committed:v1' })).out).toBe('v\n');
  // With a config of its own it remembers nothing of the container's run.
  const { Id: own } = await machine.containers.commit({
    container: id,
    pause: true,
    changes: [],
    config: { Env: ['X=1'], Hostname: 'mine' },
  });
  expect((await machine.images.details(own)).config.config).toMatchObject({
    Hostname: 'mine',
    Image: '',
    Env: ['X=1', expect.stringMatching(/^PATH=/)],
  });
  await remove(id);
  await machine.images.remove(own, { force: true, inUse: () => undefined });
  // An image of two layers, mounted, outlives its name.
  const mounts = [
    { Type: 'image', Source: 'committed:v1', Target: '/all' },
    { Type: 'image', Source: 'busybox', Target: '/some', ImageOptions: { Subpath: 'bin' } },
  ];
  const script = 'cat /all/written; ls -d /all/bin /some/sh; touch /all/x /some/x; grep -c " /all " /proc/mounts';
  const mounting = await run(['sh', '-c', script], { Mounts: mounts });
  expect(mounting.out).toBe('v\n/all/bin\n/some/sh\n1\n');
  await machine.images.remove('committed:v1', { force: true, inUse: () => undefined });
  await machine.containers.start(mounting.id);
  const { result } = await machine.containers.wait(mounting.id, 'not-running', never);
  expect((await result).StatusCode).toBe(0);
  await remove(mounting.id);
});

test('a bind of what the daemon keeps its files in follows the mounts of the machine, where it can', async () => {
  const elsewhere = join(machine.folder, 'elsewhere');
  const Binds = [`${machine.folder}:/all`, `${machine.folder}:/told:private`, `${elsewhere}:/other`];
  const { id, code } = await run(['test', '-d', '/all/elsewhere'], { Binds });
  expect(code).toBe(0);
  const { Mounts } = await machine.containers.inspect(id, { size: false });
  const propagation = (Mounts as JsonObject[]).map((mount) => `${mount.Destination} ${mount.Propagation}`);
  expect(propagation.sort()).toEqual(['/all rslave', '/other rprivate', '/told private']);
  await remove(id);
});

test('mounts nothing over /proc, nor a file on a folder', async () => {
  const refusal = async (host: JsonObject): Promise<string> => {
    const { Id } = await machine.containers.create({ Image: 'busybox', Cmd: ['true'], HostConfig: host }, {});
    const words = await machine.containers.start(Id).catch(messageOf);
    await remove(Id);
    return String(words);
  };
  const place = (path: string): string => `error mounting "/tmp" to rootfs at "${path}": `;
  expect(await refusal({ Binds: ['/tmp:/proc/sys'] })).toMatch(
    new RegExp(`${place('/proc/sys')}".*/proc/sys" cannot be mounted because it is inside /proc: unknown$`),
  );
  expect(await refusal({ Binds: ['/tmp:/proc'] })).toContain('cannot be mounted because it is not of type proc');
  expect(await refusal({ Binds: ['/tmp:/etc/passwd'] })).toContain(
    `${place('/etc/passwd')}mount /tmp:/etc/passwd (via /proc/self/fd/6), flags: 0x5000: not a directory: unknown: Are you`,
  );
  expect((await run(['true'], { AutoRemove: true, Binds: ['/proc:/proc', '/proc/uptime:/proc/uptime'] })).out).toBe('');
});

test('a working folder that is a file is refused when the container is made', async () => {
  const create = (WorkingDir: string) =>
    machine.containers.create({ Image: 'busybox', Cmd: ['pwd'], WorkingDir }, { name: 'folder' });
  const error = await create('/etc/passwd').catch((caught: unknown) => caught as Error);
  expect([codeOf(error), messageOf(error)]).toEqual(['internal', 'Cannot mkdir: /etc/passwd is not a directory']);
  for (const there of ['/etc', '/made/anew', '/etc/passwd/below']) await remove((await create(there)).Id);
});

test('runs images whose configs are odd, as dockerd does', async () => {
  const { config, layers } = await busyboxImage();
  const settings = {
    ...config.config,
    Volumes: { '/etc:/x': {}, '/a/../b': {} },
    ExposedPorts: { bad: {}, '80/foo': {}, '99999/tcp': {}, '81/tcp': {} },
    StopSignal: 'SIGFOO',
    Env: [...(config.config?.Env ?? []), 'A', 'B=1', 'B=2'],
    OnBuild: ['FROM x'],
    Labels: { '': 'blank' },
    Healthcheck: { Test: ['BOGUS'], Interval: -1 },
  };
  await machine.images.createImage({ layers, config: { ...config, config: settings }, references: ['odd:1'] });
  await started(
    'odd',
    ['sh', '-c', 'trap "exit 7" TERM; echo ready; while :; do sleep 0.05; done'],
    {},
    { Image: 'odd:1' },
  );
  await saying('odd', 'ready');
  const { Config, Mounts, NetworkSettings } = await machine.containers.inspect('odd', { size: false });
  expect((Mounts as { Destination: string }[]).map(({ Destination }) => Destination).sort()).toEqual(['/b', '/etc:/x']);
  expect(Config).toMatchObject({ StopSignal: 'SIGFOO', OnBuild: null, Labels: { '': 'blank' } });
  expect(NetworkSettings).toMatchObject({ Ports: {} });
  // Where no network leads out there are no ports.
  expect(await machine.containers.list({ all: true, size: false, filters: new Map([['expose', ['81']]]) })).toEqual([]);
  // What is no signal stands for SIGTERM.
  await machine.containers.stop('odd', {});
  expect(await state('odd')).toMatchObject({ ExitCode: 7 });
  await remove('odd', true);
  await machine.images.remove('odd:1', { inUse: () => undefined });
});

test('a terminal has its first size from the start', async () => {
  const { out } = await run(['stty', 'size'], { AutoRemove: true, ConsoleSize: [33, 101] }, { Tty: true });
  expect(out).toBe('33 101\r\n');
});
