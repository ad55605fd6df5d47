import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { codeOf, VirtualClock } from '@wherry/base';
import { isMountPoint, listenInNetns, mountsBelow, mountTmpfs, setPropagation, unmountAll } from '@wherry/linux';
import type { ContainerConfig } from '@wherry/runtime';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
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

async function started(command: readonly string[], change: Partial<ContainerConfig> = {}, pod = {}): Promise<string> {
  const sandbox = await engine.runPodSandbox(podConfig(machine, pod));
  const id = await engine.createContainer(sandbox.id, containerConfig(command, change));
  await engine.startContainer(id);
  return id;
}
const log = async (id: string): Promise<string> => readFileSync((await engine.containerStatus(id)).logPath, 'utf8');
const text = async (stream: Readable | undefined): Promise<string> => {
  let all = '';
  for await (const chunk of stream ?? []) all += String(chunk);
  return all;
};
/** Children of this process, oldest first, with these letters in their command line. */
const childrenWith = (letters: string): number[] =>
  readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8')
    .split(' ')
    .filter((pid) => pid.trim() !== '' && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(letters))
    .map(Number);
const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
};
const sh = (script: string): string[] => ['sh', '-c', script];
const out = async (id: string, script: string): Promise<string> =>
  (await engine.execSync(id, sh(script), 10)).stdout.toString();

describe('the life of a container', () => {
  test('it runs, logs in CRI format and ends with its exit code', async () => {
    const id = await started(sh('echo out; echo err >&2; exit 7'));
    expect(await exitOf(engine, id)).toMatchObject({ exitCode: 7, reason: 'Error' });
    expect(await log(id)).toMatch(/^\S+ stdout F out\n\S+ stderr F err\n$/);
    const status = await engine.containerStatus(id);
    expect(status.startedAt).toBeLessThanOrEqual(status.finishedAt as number);
    await engine.removeContainer(id);
    await engine.removeContainer(id);
    expect(await engine.containerStatus(id).catch(codeOf)).toBe('notFound');
    expect(machine.held.size).toBe(0);
  });

  test('environment, command, hostname, user and groups of image and configuration', async () => {
    const id = await started(['sleep', '1000'], {
      env: [{ name: 'BOTH', value: 'config' }],
      workingDir: '/made/here',
      security: { runAsUsername: 'user', supplementalGroups: [5] },
    });
    expect(await out(id, 'echo $FROM $BOTH $HOSTNAME; hostname; id; pwd')).toBe(
      'image config pod-host\npod-host\nuid=1000(user) gid=1001(user) groups=5,77(extra),1001(user)\n/made/here\n',
    );
  });

  test('stop sends the signal, then kills; an ended container stays ended', async () => {
    const id = await started(sh('trap "exit 3" TERM; echo ready; while :; do sleep 0.1; done'));
    // The first process of a process namespace gets no signal that it has no handler for.
    while (!(await log(id)).includes('ready')) await new Promise((resolve) => setTimeout(resolve, 5));
    await engine.stopContainer(id, 30);
    expect((await engine.containerStatus(id)).exitCode).toBe(3);
    const deaf = await started(sh('trap "" TERM; echo deaf; sleep 1000'), {}, { cgroupParent: 'kubepods/podu2' });
    while (!(await log(deaf)).includes('deaf')) await new Promise((resolve) => setTimeout(resolve, 5));
    await engine.stopContainer(deaf, 0.2);
    expect(await engine.containerStatus(deaf)).toMatchObject({ exitCode: 137, reason: 'Error' });
    expect(await engine.startContainer(deaf).catch(codeOf)).toBe('conflict');
  });

  test('what cannot start says why, in the words that users search for', async () => {
    const sandbox = await engine.runPodSandbox(podConfig(machine));
    const failure = async (command: string[]): Promise<string> => {
      const id = await engine.createContainer(sandbox.id, containerConfig(command));
      const message = await engine.startContainer(id).catch((error: Error) => error.message);
      expect(await engine.containerStatus(id)).toMatchObject({
        state: 'exited',
        exitCode: 128,
        reason: 'StartError',
        message,
      });
      return String(message);
    };
    expect(await failure(['nosuch'])).toContain('exec: "nosuch": executable file not found in $PATH: unknown');
    expect(await failure(['/nosuch'])).toContain('exec: "/nosuch": stat /nosuch: no such file or directory');
    expect(await failure(['/etc'])).toContain('exec: "/etc": permission denied');
    expect(await engine.createContainer(sandbox.id, containerConfig([], { image: 'missing' })).catch(codeOf)).toBe(
      'notFound',
    );
    const mounts = [{ hostPath: join(machine.folder, 'nosuch'), containerPath: '/x' }];
    expect(await engine.createContainer(sandbox.id, containerConfig([], { mounts })).catch(codeOf)).toBe('notFound');
    expect(machine.held.size).toBe(3);
  });

  test('too much memory is OOMKilled', async () => {
    const resources = { memoryLimitBytes: 16 << 20, memorySwapLimitBytes: 16 << 20 };
    const id = await started(sh('exec tail -c 100m /dev/zero'), { resources });
    expect(await exitOf(engine, id)).toMatchObject({ exitCode: 137, reason: 'OOMKilled' });
  });

  test('hostile passwd files do not lead to the host', async () => {
    rmSync(join(machine.image, 'etc/passwd'));
    symlinkSync('../../../../../../../../etc/passwd', join(machine.image, 'etc/passwd'));
    const sandbox = await engine.runPodSandbox(podConfig(machine));
    const asDaemon = containerConfig(['true'], { security: { runAsUsername: 'daemon' } });
    expect(await engine.createContainer(sandbox.id, asDaemon).catch(codeOf)).toBeDefined();
    expect(machine.held.size).toBe(0);
  });

  test('volumes, read-only ones, shared memory and a read-only root', async () => {
    const volume = join(machine.folder, 'volume');
    mkdirSync(volume);
    writeFileSync(join(volume, 'f'), 'content');
    const id = await started(['sleep', '1000'], {
      mounts: [
        { hostPath: volume, containerPath: '/rw' },
        { hostPath: volume, containerPath: '/rw/ro', readOnly: true },
        { hostPath: join(volume, 'f'), containerPath: '/file' },
      ].filter(
        (mount) => mount.containerPath !== '/rw/ro' || mkdirSync(join(volume, 'ro'), { recursive: true }) !== null,
      ),
      security: { readonlyRootfs: true },
    });
    expect(
      await out(
        id,
        'cat /file; echo new > /rw/g; echo x 2>/dev/null > /rw/ro/x || echo refused; echo x 2>/dev/null >/y || echo root refused',
      ),
    ).toBe('contentrefused\nroot refused\n');
    expect(readFileSync(join(volume, 'g'), 'utf8')).toBe('new\n');
    expect(await out(id, 'cat /proc/mounts')).toMatch(/^shm \/dev\/shm tmpfs .*size=65536k/m);
  });

  test('mounts travel out of a container that asks for it, where the host’s mount lets them', async () => {
    const volume = join(machine.folder, 'volume');
    mkdirSync(volume);
    mountTmpfs(volume, { sizeBytes: 1 << 20 });
    try {
      setPropagation(volume, 'private');
      const change = (propagation: 'rshared' | 'rslave') => ({
        mounts: [{ hostPath: volume, containerPath: '/v', propagation }],
        security: { privileged: true },
      });
      for (const kind of ['rshared', 'rslave'] as const)
        expect(await started(['sleep', '1000'], change(kind)).catch(codeOf)).toBe('invalid');
      setPropagation(volume, 'shared');
      const id = await started(['sleep', '1000'], change('rshared'));
      mkdirSync(join(volume, 'inner'));
      mkdirSync(join(volume, 'outer'));
      await out(id, 'busybox mount -t tmpfs t /v/inner');
      expect(isMountPoint(join(volume, 'inner'))).toBe(true);
      mountTmpfs(join(volume, 'outer'), { sizeBytes: 1 << 20 });
      expect(await out(id, 'cat /proc/mounts')).toContain(' /v/outer tmpfs ');
      await engine.stopContainer(id, 0);
    } finally {
      for (const mount of mountsBelow(volume)) unmountAll(mount.mountPoint);
    }
  });

  test('the default seccomp profile and no new privileges', async () => {
    const id = await started(['sleep', '1000'], {
      security: { seccomp: { type: 'RuntimeDefault' }, noNewPrivileges: true, dropCapabilities: ['ALL'] },
    });
    const status = await out(id, 'cat /proc/self/status');
    expect(status).toMatch(/^Seccomp:\t2$/m);
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    expect(status).toMatch(/^CapBnd:\t0+$/m);
  });
});

describe('streams', () => {
  test('exec: outputs apart, standard input to its end, exit code', async () => {
    const id = await started(['sleep', '1000']);
    const session = await engine.exec(id, {
      command: sh('cat; echo err >&2; exit 5'),
      tty: false,
      stdin: true,
      stdout: true,
      stderr: true,
    });
    session.stdin?.end('piped');
    expect(await Promise.all([text(session.stdout), text(session.stderr), session.exit])).toEqual([
      'piped',
      'err\n',
      5,
    ]);
    const files = readdirSync(join(machine.folder, 'run/containers', id)).filter((name) => name.startsWith('exec-'));
    expect(files).toEqual([]);
  });

  test('exec: a command that is not there', async () => {
    const id = await started(['sleep', '1000']);
    const session = await engine.exec(id, {
      command: ['nosuchcmd'],
      tty: false,
      stdin: false,
      stdout: true,
      stderr: true,
    });
    await expect(session.exit).rejects.toThrow(
      /^failed to exec in container: failed to start exec "[0-9a-f]{64}": OCI runtime exec failed: exec failed: unable to start container process: exec: "nosuchcmd": executable file not found in \$PATH: unknown$/,
    );
    const terminal = await engine.exec(id, {
      command: ['nosuchcmd'],
      tty: true,
      stdin: false,
      stdout: true,
      stderr: false,
    });
    await expect(terminal.exit).rejects.toThrow(/executable file not found/);
  });

  test('exec: a command as large as the kernel takes', async () => {
    const id = await started(['sleep', '1000']);
    const large = 'x'.repeat(120_000);
    const { stdout } = await engine.execSync(id, ['echo', large, large], 10);
    expect(stdout.toString()).toBe(`${large} ${large}\n`);
  });

  test('exec: a runtime that was started before is told the command that comes with its streams', async () => {
    const clock = new VirtualClock();
    await using another = testMachine();
    await using waiting = await createEngine({ ...another.options, clock });
    const sandbox = await waiting.runPodSandbox(podConfig(another));
    const id = await waiting.createContainer(sandbox.id, containerConfig(['sleep', '1000'], {}));
    await waiting.startContainer(id);
    const runtimes = (): number[] => childrenWith('--process=/proc/self/fd/');
    const piped = { tty: false, stdin: true, stdout: true, stderr: true };
    const terminal = { tty: true, stdin: true, stdout: true, stderr: false };
    waiting.anticipateExec(id, terminal);
    waiting.anticipateExec(id, piped);
    await until(() => runtimes().length === 2);
    const [first, second] = runtimes();
    const session = await waiting.exec(id, { ...piped, command: ['cat'] });
    const parent = /^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${await session.pid}/status`, 'utf8'))?.[1];
    expect(Number(parent)).toBe(second);
    session.stdin?.end('told');
    const over = Promise.all([text(session.stdout), text(session.stderr), session.exit]);
    expect(await over).toEqual(['told', '', 0]);
    expect(runtimes()).toEqual([first]);
    // Nobody comes for the other one.
    await clock.advance(1000);
    await until(() => runtimes().length === 0);
    const late = await waiting.exec(id, { ...terminal, command: sh('echo late; exit 3') });
    const [said, code] = await Promise.all([text(late.stdout), late.exit]);
    expect([said.trim(), code]).toEqual(['late', 3]);
  });

  test('exec on a terminal: its size, resized, and the exit code', async () => {
    const id = await started(['sleep', '1000']);
    const session = await engine.exec(id, {
      command: sh('read go; stty size; test -t 1 && exit 9'),
      tty: true,
      stdin: true,
      stdout: true,
      stderr: false,
    });
    session.resize({ width: 101, height: 33 });
    session.stdin?.write('go\n');
    const [output, code] = await Promise.all([text(session.stdout), session.exit]);
    expect(output).toContain('33 101');
    expect(code).toBe(9);
  });

  test('a container can be stopped at once after an exec that could not start', async () => {
    const id = await started(['sleep', '1000']);
    const failed = await engine.execSync(id, ['nosuchcmd'], 10).catch((error: Error) => error.message);
    expect(failed).toContain('executable file not found');
    // The process that could not become the command is reaped by the engine, not at the leisure of process 1.
    const children = () =>
      readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8')
        .trim()
        .split(' ')
        .filter((pid) => pid !== '' && /^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')));
    while (children().length > 0) await new Promise((resolve) => setImmediate(resolve));
    await engine.stopContainer(id, 0);
    expect((await engine.containerStatus(id)).exitCode).toBe(137);
  });

  test('execSync ends at its time and kills the command', async () => {
    const id = await started(['sleep', '1000']);
    expect(await engine.execSync(id, ['sleep', '777'], 0.2).catch(codeOf)).toBe('timeout');
    expect(await out(id, 'ps')).not.toContain('777');
  });

  test('attach: what is typed comes back, and the container ends with its input', async () => {
    const id = await started(sh('while read line; do echo "<$line>"; done; echo end >&2; exit 4'), {
      stdin: true,
      stdinOnce: true,
    });
    const session = await engine.attach(id, { tty: false, stdin: true, stdout: true, stderr: true });
    session.stdin?.write('one\n');
    session.stdin?.end('two\n');
    expect(await Promise.all([text(session.stdout), text(session.stderr), session.exit])).toEqual([
      '<one>\n<two>\n',
      'end\n',
      4,
    ]);
  });

  test('attach to a terminal, with its size', async () => {
    const id = await started(sh('read go; stty size; exit 2'), { stdin: true, tty: true });
    const session = await engine.attach(id, { tty: true, stdin: true, stdout: true, stderr: false });
    session.resize({ width: 90, height: 20 });
    session.stdin?.write('go\n');
    const [output, code] = await Promise.all([text(session.stdout), session.exit]);
    expect(output).toContain('20 90');
    expect(code).toBe(2);
  });

  test('port-forward reaches the loopback of the sandbox', async () => {
    const sandbox = await engine.runPodSandbox(podConfig(machine));
    const server = await listenInNetns(sandbox.networkNamespace, '127.0.0.1', 7777, (socket) => {
      socket.end('from inside');
    });
    expect(await text(await engine.portForward(sandbox.id, 7777))).toBe('from inside');
    await new Promise((resolve) => server.close(resolve));
    expect(await engine.portForward(sandbox.id, 7777).catch(codeOf)).toBeDefined();
  });

  test('a rotated log goes on in a fresh file', async () => {
    const id = await started(sh('echo before; read go; echo after; sleep 1000'), { stdin: true });
    const { logPath } = await engine.containerStatus(id);
    while (!readFileSync(logPath, 'utf8').includes('before')) await new Promise((resolve) => setTimeout(resolve, 10));
    renameSync(logPath, `${logPath}.1`);
    await engine.reopenContainerLog(id);
    await expect.poll(() => existsSync(logPath)).toBe(true);
    const session = await engine.attach(id, { tty: false, stdin: true, stdout: true, stderr: true });
    const answer = new Promise((resolve) => session.stdout?.once('data', resolve));
    session.stdin?.write('go\n');
    await answer;
    expect(readFileSync(logPath, 'utf8')).toContain('stdout F after');
    expect(readFileSync(`${logPath}.1`, 'utf8')).not.toContain('after');
    await session[Symbol.asyncDispose]();
  });
});

describe('sandboxes', () => {
  test('containers share what the pod shares; a shared process namespace has an init', async () => {
    const sandbox = await engine.runPodSandbox(
      podConfig(machine, {
        namespaces: { network: 'pod', pid: 'pod', ipc: 'pod' },
        dns: { servers: ['10.96.0.10'], searches: ['a.b'], options: ['ndots:5'] },
        sysctls: { 'net.ipv4.ip_unprivileged_port_start': '0', 'kernel.shm_rmid_forced': '1' },
      }),
    );
    const ids = [];
    for (const command of [
      ['sleep', '1111'],
      ['sleep', '2222'],
    ]) {
      const id = await engine.createContainer(sandbox.id, containerConfig(command));
      await engine.startContainer(id);
      ids.push(id);
    }
    const processes = await out(
      ids[0] as string,
      'ps; cat /etc/resolv.conf; cat /proc/sys/net/ipv4/ip_unprivileged_port_start',
    );
    expect(processes).toMatch(/sleep 1111[\s\S]*sleep 2222/);
    expect(processes).toContain('search a.b\nnameserver 10.96.0.10\noptions ndots:5\n0\n');
    await engine.stopPodSandbox(sandbox.id);
    await engine.stopPodSandbox(sandbox.id);
    expect((await engine.podSandboxStatus(sandbox.id)).state).toBe('notReady');
    expect((await engine.containerStatus(ids[1] as string)).exitCode).toBe(137);
    await engine.removePodSandbox(sandbox.id);
    expect(await engine.listContainers()).toEqual([]);
  });

  test('a sysctl of the host is refused and nothing stays', async () => {
    const bad = podConfig(machine, { sysctls: { 'kernel.hostname': 'x' } });
    expect(await engine.runPodSandbox(bad).catch(codeOf)).toBe('invalid');
    expect(await engine.listPodSandboxes()).toEqual([]);
    expect(machine.connected.size).toBe(0);
  });

  test('stats and updated limits', async () => {
    const id = await started(['sleep', '1000'], { resources: { memoryLimitBytes: 32 << 20 } });
    await engine.updateContainerResources(id, { memoryLimitBytes: 64 << 20 });
    const stats = await engine.containerStats(id);
    expect(stats.pids).toBe(1);
    expect(stats.memoryUsageBytes).toBeGreaterThan(0);
    expect(await engine.listContainerStats({ labels: { container: 'other' } })).toEqual([]);
  });
});
