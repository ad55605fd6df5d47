import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { codeOf } from '@wherry/base';
import { isMountPoint, mountsBelow, openCgroups } from '@wherry/linux';
import type { AttachOptions, ContainerConfig, PodSandboxConfig } from '@wherry/runtime';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createEngine, type Engine } from '../src/index.ts';
import { containerConfig, exitOf, podConfig, type TestMachine, testMachine } from './machine.ts';

let machine: TestMachine;
let engine: Engine;
beforeEach(async () => {
  machine = testMachine();
  engine = await createEngine(machine.options);
});
afterEach(async () => {
  await engine[Symbol.asyncDispose]();
  await machine[Symbol.asyncDispose]();
});

const idOf = (digit: string): string => digit.repeat(64);
const all: AttachOptions = { tty: false, stdin: false, stdout: true, stderr: true };
const text = async (stream: Readable | undefined): Promise<string> => {
  let read = '';
  for await (const chunk of stream ?? []) read += String(chunk);
  return read;
};
const sh = (script: string): string[] => ['sh', '-c', script];

/** A sandbox with one container of the same id, as docker's. */
async function defined(
  digit: string,
  command: readonly string[],
  change: Partial<ContainerConfig> = {},
  sandbox: Partial<PodSandboxConfig> = {},
): Promise<string> {
  const id = idOf(digit);
  const namespaces = { network: 'unmanaged', pid: 'container', ipc: 'pod' } as const;
  await engine.definePodSandbox(podConfig(machine, { id, namespaces, cgroupParent: 'docker', ...sandbox }));
  const config = containerConfig(command, { id, restartable: true, logPath: `${digit}.log`, ...change });
  expect(await engine.createContainer(id, config)).toBe(id);
  return id;
}

/** Runs it to its end and gives what it wrote, exit code and what is left mounted. */
async function ran(id: string): Promise<{ output: string; exitCode: number }> {
  await engine.startPodSandbox(id);
  const session = await engine.attachEarly(id, all);
  await engine.startContainer(id);
  const [output, errors, exitCode] = await Promise.all([text(session.stdout), text(session.stderr), session.exit]);
  await engine.stopPodSandbox(id);
  return { output: output + errors, exitCode };
}

test('it runs again and again with the same writable layer; nothing is mounted in between', async () => {
  const id = await defined('a', sh('echo x >> /count; cat /count; echo err >&2; exit 3'));
  expect(mountsBelow(join(machine.folder, 'run/containers'))).toEqual([]);
  expect(await ran(id)).toEqual({ output: 'x\nerr\n', exitCode: 3 });
  expect(await ran(id)).toEqual({ output: 'x\nx\nerr\n', exitCode: 3 });
  const status = await engine.containerStatus(id);
  expect(status).toMatchObject({ state: 'exited', exitCode: 3, sandboxId: id, oomKilled: false });
  expect(readFileSync(status.logPath, 'utf8').match(/stdout F x/g)).toHaveLength(3);
  // The clean-up of the end comes after its report: the next in turn waits for it.
  await engine.updateContainer(id, (config) => ({ ...config, labels: { changed: 'yes' } }));
  expect(mountsBelow(join(machine.folder, 'run/containers'))).toEqual([]);
  expect(mountsBelow(join(machine.folder, 'run/namespaces'))).toEqual([]);
  expect((await engine.containerStatus(id)).labels).toEqual({ changed: 'yes' });
  await engine.removePodSandbox(id);
  expect(await engine.listContainers()).toEqual([]);
  expect(await engine.listPodSandboxes()).toEqual([]);
});

test('one that mounts all of the machine takes no mount away', async () => {
  const first = await defined('a', ['sleep', '100']);
  await engine.startPodSandbox(first);
  await engine.startContainer(first);
  const roots = (): string[] =>
    mountsBelow(join(machine.folder, 'run/containers')).map(({ mountPoint }) =>
      mountPoint.replace(/^.*containers\//, ''),
    );
  expect(roots()).toEqual([`${first}/rootfs`]);
  const everything = { hostPath: machine.folder, containerPath: '/all' };
  const second = await defined('b', sh(`ls /all/run/containers/${first}/rootfs/bin/sh`), {
    mounts: [everything],
  });
  await engine.startPodSandbox(second);
  const session = await engine.attachEarly(second, all);
  await engine.startContainer(second);
  expect(await text(session.stdout)).toContain('/rootfs/bin/sh');
  expect(await session.exit).toBe(0);
  expect(roots()).toContain(`${first}/rootfs`);
});

test('the removal of the last one leaves alone what is in the same cgroup, and what starts there meanwhile', async () => {
  const sleeping = sh('trap "exit 0" TERM; sleep 1000 & wait');
  const last = await defined('a', sleeping);
  await engine.startPodSandbox(last);
  await engine.startContainer(last);
  // A user may name any cgroup. This process cannot be killed at once, and keeps the cgroup from being removed.
  const cgroups = openCgroups();
  const group = `${machine.options.cgroupParent}/docker/others`;
  const other = spawn('sleep', ['1000']);
  cgroups.create(group);
  cgroups.attach(group, other.pid!);
  cgroups.freeze(group, true);
  try {
    const removed = engine.removePodSandbox(last);
    const next = await defined('b', sleeping);
    await engine.startPodSandbox(next);
    await engine.startContainer(next);
    await removed;
    expect(await engine.containerStatus(next)).toMatchObject({ state: 'running' });
    cgroups.freeze(group, false);
    expect((await engine.execSync(next, ['true'], 10)).exitCode).toBe(0);
    expect(other.exitCode ?? other.signalCode).toBeNull();
    await engine.removePodSandbox(next);
    expect(other.exitCode ?? other.signalCode).toBeNull();
  } finally {
    cgroups.freeze(group, false);
    other.kill('SIGKILL');
    await once(other, 'exit');
    cgroups.remove(group);
  }
});

test('changes hold from the next start on', async () => {
  const id = await defined('a', sh('echo $WORD; hostname'));
  await engine.updateContainer(id, (config) => ({ ...config, env: [{ name: 'WORD', value: 'first' }] }));
  expect((await ran(id)).output).toBe('first\npod-host\n');
  await engine.updateContainer(id, (config) => ({ ...config, env: [{ name: 'WORD', value: 'second' }] }));
  await engine.updatePodSandbox(id, (config) => ({ ...config, hostname: 'other' }));
  expect((await ran(id)).output).toBe('second\nother\n');
  expect(await engine.updateContainer(id, (config) => ({ ...config, image: 'x' })).catch(codeOf)).toBe('invalid');
});

test('ids are taken once, and are ids; a sandbox that is not started starts nothing', async () => {
  const id = await defined('a', ['true']);
  expect(await engine.definePodSandbox(podConfig(machine, { id })).catch(codeOf)).toBe('alreadyExists');
  expect(await engine.createContainer(id, containerConfig(['true'], { id })).catch(codeOf)).toBe('conflict');
  const again = containerConfig(['true'], { id, restartable: true });
  expect(await engine.createContainer(id, again).catch(codeOf)).toBe('alreadyExists');
  for (const bad of ['../../etc', 'A'.repeat(64), ''])
    expect(await engine.definePodSandbox(podConfig(machine, { id: bad })).catch(codeOf)).toBe('invalid');
  expect(await engine.startContainer(id).catch(codeOf)).toBe('conflict');
  await engine.startPodSandbox(id);
  expect(await engine.startPodSandbox(id).catch(codeOf)).toBe('conflict');
  expect(await engine.updatePodSandbox(id, (config) => config).catch(codeOf)).toBe('conflict');
});

test('what cannot start says why each time, and starts once that is mended', async () => {
  const id = await defined('a', ['nosuch']);
  await engine.startPodSandbox(id);
  for (let turn = 0; turn < 2; turn++) {
    const session = await engine.attachEarly(id, all);
    const failure = await engine.startContainer(id).catch((error: Error) => error);
    expect(failure).toMatchObject({
      code: 'invalid',
      details: { reason: 'exec: "nosuch": executable file not found in $PATH' },
    });
    expect(await text(session.stdout)).toBe('');
    expect(await session.exit.catch((error: Error) => error)).toBe(failure);
    expect(await engine.containerStatus(id)).toMatchObject({ state: 'exited', exitCode: 128, reason: 'StartError' });
  }
  await engine.updateContainer(id, (config) => ({ ...config, security: { runAsUsername: 'nobody-here' } }));
  expect(await engine.startContainer(id).catch((error: Error) => error.message)).toBe(
    'unable to find user nobody-here: no matching entries in passwd file',
  );
  await engine.updateContainer(id, (config) => ({ ...config, command: sh('echo mended'), security: {} }));
  await engine.stopPodSandbox(id);
  expect((await ran(id)).output).toBe('mended\n');
});

test('attached before the start: input waits, nothing of the output is missed; withdrawn sessions are gone', async () => {
  const id = await defined('a', sh('head -c 200000 /dev/zero | tr "\\0" x; cat; exit 5'), {
    stdin: true,
    stdinOnce: true,
  });
  await engine.startPodSandbox(id);
  const withdrawn = await engine.attachEarly(id, all);
  await withdrawn[Symbol.asyncDispose]();
  const [first, second] = [await engine.attachEarly(id, { ...all, stdin: true }), await engine.attachEarly(id, all)];
  first.stdin?.end('typed early');
  await engine.startContainer(id);
  const outputs = await Promise.all([text(first.stdout), text(second.stdout)]);
  for (const output of outputs) expect(output).toBe(`${'x'.repeat(200000)}typed early`);
  expect(await Promise.all([first.exit, second.exit])).toEqual([5, 5]);
});

test('a terminal with its size; resized; a session of a removed container ends', async () => {
  const id = await defined('a', sh('stty size; read go; stty size'), { tty: true, stdin: true });
  await engine.startPodSandbox(id);
  expect(await engine.resizeContainer(id, { width: 1, height: 1 }).catch(codeOf)).toBe('conflict');
  const session = await engine.attachEarly(id, { ...all, tty: true, stdin: true });
  session.resize({ width: 101, height: 33 });
  await engine.startContainer(id);
  let output = '';
  const sized = new Promise<void>((resolve) =>
    session.stdout?.on('data', (chunk) => {
      output += String(chunk);
      if (output.includes('33 101')) resolve();
    }),
  );
  await sized;
  await engine.resizeContainer(id, { width: 90, height: 20 });
  session.stdin?.write('go\n');
  expect(await session.exit).toBe(0);
  expect(output).toContain('20 90');
  const waiting = await engine.attachEarly(id, all);
  await engine.removePodSandbox(id);
  expect(await waiting.exit.catch(codeOf)).toBe('notFound');
});

test('signals by name and number; stop waits, then kills', async () => {
  const id = await defined('a', sh('trap "exit 7" USR1; trap "exit 8" 37; echo ready; while :; do sleep 0.05; done'));
  for (const [signal, code] of [
    ['SIGUSR1', 7],
    [37, 8],
    ['KILL', 137],
  ] as const) {
    await engine.startPodSandbox(id);
    const session = await engine.attachEarly(id, all);
    await engine.startContainer(id);
    await new Promise((resolve) => session.stdout?.once('data', resolve));
    expect(await engine.killContainer(id, 'NOSUCH').catch(codeOf)).toBe('invalid');
    await engine.killContainer(id, signal);
    expect(await session.exit).toBe(code);
    expect(await engine.killContainer(id, signal).catch(codeOf)).toBe('conflict');
    await engine.stopPodSandbox(id);
  }
});

test('a start is over when the command runs, which a signal then reaches', async () => {
  const id = await defined('a', ['sleep', '1000']);
  for (let turn = 0; turn < 10; turn++) {
    await engine.startPodSandbox(id);
    await engine.startContainer(id);
    const { pid } = await engine.containerStatus(id);
    expect(readlinkSync(`/proc/${pid}/exe`)).toBe('/bin/busybox');
    await engine.stopPodSandbox(id);
  }
});

test('a paused container stands still, survives its engine, and can be killed and stopped', async () => {
  const id = await defined('a', sh('trap "exit 9" TERM; echo ready; while :; do sleep 0.05; done'));
  const start = async (): Promise<void> => {
    await engine.startPodSandbox(id);
    const session = await engine.attachEarly(id, all);
    await engine.startContainer(id);
    await new Promise((resolve) => session.stdout?.once('data', resolve));
    await engine.pauseContainer(id);
    expect(await engine.isPaused(id)).toBe(true);
  };
  await start();
  expect(await engine.pauseContainer(id).catch(codeOf)).toBe('conflict');
  expect(await engine.execSync(id, ['true'], 1).catch(codeOf)).toBe('conflict');
  await engine[Symbol.asyncDispose]();
  engine = await createEngine(machine.options);
  expect(await engine.isPaused(id)).toBe(true);
  await engine.unpauseContainer(id);
  expect(await engine.unpauseContainer(id).catch(codeOf)).toBe('conflict');
  await engine.execSync(id, ['true'], 5);
  await engine.pauseContainer(id);
  await engine.killContainer(id, 9);
  expect(await exitOf(engine, id)).toMatchObject({ exitCode: 137 });
  await engine.stopPodSandbox(id);
  await start();
  await engine.stopContainer(id, 30);
  expect((await engine.containerStatus(id)).exitCode).toBe(9);
  expect(await engine.isPaused(id)).toBe(false);
});

test('records that cannot be read cost no container’s files, and are here again when they are mended', async () => {
  const id = await defined('a', sh('echo kept > /file'));
  await engine.startPodSandbox(id);
  await engine.startContainer(id);
  await exitOf(engine, id);
  await engine.stopPodSandbox(id);
  const written = join(machine.folder, 'root/layers', id, 'upper/file');
  for (const kind of ['containers', 'sandboxes']) {
    const journal = join(machine.folder, `root/${kind}.journal`);
    await engine[Symbol.asyncDispose]();
    const good = readFileSync(journal);
    writeFileSync(journal, Buffer.alloc(good.length));
    engine = await createEngine(machine.options);
    expect(engine.unreadableRecords).toBe(`${journal}.unreadable`);
    expect(await engine.listPodSandboxes()).toHaveLength(kind === 'sandboxes' ? 0 : 1);
    expect(readFileSync(written, 'utf8')).toBe('kept\n');
    await engine[Symbol.asyncDispose]();
    writeFileSync(journal, good);
    rmSync(`${journal}.unreadable`);
    engine = await createEngine(machine.options);
    expect(engine.unreadableRecords).toBeUndefined();
    expect(await engine.containerStatus(id)).toMatchObject({ state: 'exited', exitCode: 0 });
    expect(readFileSync(written, 'utf8')).toBe('kept\n');
  }
});

test('processes, and commands with their number, user, folder, size and without streams', async () => {
  const id = await defined('a', ['sleep', '1000']);
  await engine.startPodSandbox(id);
  await engine.startContainer(id);
  const first = (await engine.containerStatus(id)).pid as number;
  expect(await engine.containerProcesses(id)).toEqual([first]);
  const silent = { tty: false, stdin: false, stdout: false, stderr: false };
  const detached = await engine.exec(id, { ...silent, command: ['sleep', '2000'] });
  const pid = await detached.pid;
  expect([...(await engine.containerProcesses(id))].sort()).toEqual([first, pid].sort());
  // The number is known before the OCI runtime's process becomes the command.
  await expect.poll(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8')).toBe('sleep\x002000\0');
  process.kill(pid, 'SIGTERM');
  expect(await detached.exit).toBe(143);
  const asked = { ...silent, stdout: true, user: 'user:77', workingDir: '/tmp', env: ['A=b'], privileged: true };
  const session = await engine.exec(id, { ...asked, command: sh('id; pwd; echo $A; grep CapBnd /proc/self/status') });
  const output = await text(session.stdout);
  expect(output).toContain('uid=1000(user) gid=77(extra)');
  expect(output).toContain('\n/tmp\nb\n');
  const own = /^CapBnd:.*$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[0];
  expect(output).toContain(own);
  const size = { width: 123, height: 45 };
  const terminal = await engine.exec(id, { ...asked, user: '', tty: true, size, command: sh('sleep 0.2; stty size') });
  expect(await text(terminal.stdout)).toContain('45 123');
  const missing = await engine.exec(id, { ...silent, command: ['nosuch'] });
  await expect(missing.pid).rejects.toThrow(/executable file not found/);
  expect(readdirSync(join(machine.folder, 'run/containers', id)).filter((name) => name.startsWith('exec-'))).toEqual(
    [],
  );
});

test.each([
  ['that they ask for', [], ['', 'xterm']],
  ['that the container asked for', [{ name: 'TERM', value: 'xterm' }], ['xterm', 'xterm']],
])('commands without a terminal have no TERM but one %s', async (_, env, expected) => {
  const id = await defined('a', ['sleep', '1000'], { tty: true, env });
  await engine.startPodSandbox(id);
  await engine.startContainer(id);
  const asked = { stdin: false, stdout: true, stderr: false, command: sh('echo $TERM') };
  const seen = [false, true].map(async (tty) => {
    const session = await engine.exec(id, { ...asked, tty });
    return (await text(session.stdout)).trim();
  });
  expect(await Promise.all(seen)).toEqual(expected);
});

test('namespaces of another container, of the machine, and of its own', async () => {
  const first = await defined('a', ['sleep', '1000']);
  const second = await defined(
    'b',
    ['sleep', '1000'],
    {},
    { namespaces: { network: { container: first }, pid: { container: first }, ipc: { container: first } } },
  );
  const third = await defined(
    'c',
    ['sleep', '1000'],
    {},
    {
      namespaces: { network: 'node', pid: 'node', ipc: 'none', uts: 'pod', cgroup: 'private' },
      hostname: 'own-name',
    },
  );
  await engine.startPodSandbox(second);
  expect(await engine.startContainer(second).catch(codeOf)).toBe('conflict');
  await engine.startPodSandbox(first);
  await engine.startContainer(first);
  for (const id of [second, third]) {
    if (id === third) await engine.startPodSandbox(id);
    await engine.startContainer(id);
  }
  const namespaceOf = async (id: string, kind: string): Promise<string> => {
    const { pid } = await engine.containerStatus(id);
    return (await import('node:fs')).readlinkSync(`/proc/${pid}/ns/${kind}`);
  };
  const same = async (a: string, b: string): Promise<string[]> => {
    const kinds = ['net', 'pid', 'ipc', 'uts', 'mnt', 'cgroup'];
    const equal = await Promise.all(kinds.map(async (k) => (await namespaceOf(a, k)) === (await namespaceOf(b, k))));
    return kinds.filter((_, index) => equal[index]);
  };
  expect(await same(first, second)).toEqual(['net', 'pid', 'ipc', 'cgroup']);
  expect(await same(first, third)).toEqual([]);
  await engine.execSync(first, sh('echo shared > /dev/shm/file'), 5);
  const seen = await engine.execSync(second, ['cat', '/dev/shm/file'], 5);
  expect(seen.stdout.toString()).toBe('shared\n');
  const own = await engine.execSync(third, sh('hostname; ls -d /dev/shm; cat /proc/self/cgroup'), 5);
  expect(own.stdout.toString()).toMatch(/^own-name\n/);
  expect(own.stdout.toString()).not.toContain('docker');
  const mounts = await engine.execSync(third, ['cat', '/proc/mounts'], 5);
  expect(mounts.stdout.toString()).not.toContain('/dev/shm');
});

test('the root can be looked at while it runs and while it does not', async () => {
  const id = await defined('a', sh('echo made > /file; sleep 1000'));
  {
    using root = await engine.openRootfs(id);
    expect(readdirSync(root.path)).toContain('bin');
    expect(root.processRoot).toBeUndefined();
    await engine.startPodSandbox(id);
    await engine.startContainer(id);
    await engine.execSync(id, sh('head -c 5000 /dev/zero > /zeros'), 5);
    await engine.stopContainer(id, 0);
    await engine.updateContainer(id, (config) => config);
    expect(readFileSync(join(root.path, 'file'), 'utf8')).toBe('made\n');
    expect(readdirSync(root.upperDirectory).sort()).toEqual(expect.arrayContaining(['file', 'zeros']));
    expect(await engine.writableLayerSize(id)).toBe(5005);
  }
  await engine.openRootfs(id).then((root) => {
    expect(isMountPoint(root.path)).toBe(true);
    root[Symbol.dispose]();
  });
  for (let turn = 0; turn < 20; turn++) {
    const first = await engine.openRootfs(id);
    const opening = engine.openRootfs(id);
    first[Symbol.dispose]();
    using second = await opening;
    // Behind whatever the first one's end has begun.
    using _ = await engine.openRootfs(id);
    expect(readdirSync(second.path)).toContain('bin');
  }
  await engine.removePodSandbox(id);
  expect(await engine.openRootfs(id).catch(codeOf)).toBe('notFound');
});
