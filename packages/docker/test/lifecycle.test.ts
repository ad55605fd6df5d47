import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AsyncQueue, jsonLogger, VirtualClock } from '@wherry/base';
import type { NamedVolumes } from '@wherry/volumes';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  createDockerContainers,
  createEventLog,
  type DockerContainersOptions,
  type DockerEvent,
  type EventLog,
  type OpenDockerContainers,
} from '../src/index.ts';
import { strictlyRising } from '../src/times.ts';
import { MemoryEngine } from './memory-engine.ts';
import { MemoryNetworks } from './memory-networks.ts';

// Restart policies and health checks on a virtual clock: real records, an engine and networks in memory.

const minute = 60_000;
const second = 1_000_000_000; // ns, as the API has it
let folder: string;
let clock: VirtualClock;
let engine: MemoryEngine;
let events: EventLog;
let containers: OpenDockerContainers;
/** What happened, since it was asked last. */
let happened: AsyncIterator<DockerEvent>;
let over: AbortController;
const problems: string[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'wherry-lifecycle-'));
  clock = new VirtualClock();
  engine = new MemoryEngine(clock);
  problems.length = 0;
  await open();
});

afterEach(async () => {
  await containers[Symbol.asyncDispose]();
  over.abort();
  rmSync(folder, { recursive: true });
  expect(problems).toEqual([]);
});

/** Another daemon begins; the one before has let go, or was killed as far as anybody can tell. */
async function open(): Promise<void> {
  const now = strictlyRising(() => BigInt(clock.now()) * 1_000_000n);
  events = createEventLog({ clock, now });
  over?.abort();
  over = new AbortController();
  const seen = new AsyncQueue<DockerEvent>();
  happened = seen[Symbol.asyncIterator]();
  listen(events.read({}, over.signal), seen).catch((error: unknown) => seen.end(error));
  const volumes = { list: () => [], reconcile: async () => undefined } as unknown as NamedVolumes;
  const images = {
    details: async () => ({ id: 'sha256:1', config: { architecture: 'amd64', os: 'linux', config: {} } }),
  };
  containers = await createDockerContainers({
    rootDirectory: join(folder, 'containers'),
    engine: engine.asEngine,
    networks: new MemoryNetworks(),
    volumes,
    images: images as unknown as DockerContainersOptions['images'],
    events,
    files: () => ({}) as ReturnType<DockerContainersOptions['files']>,
    applyChanges: (config) => config,
    runtimes: ['runc'],
    host: { resolvConf: () => '' },
    clock,
    now,
    log: jsonLogger((line) => problems.push(line), 'warn'),
  });
}

async function listen(source: AsyncIterable<DockerEvent>, seen: AsyncQueue<DockerEvent>): Promise<void> {
  for await (const event of source) seen.push(event);
}

async function reopen(): Promise<void> {
  await containers[Symbol.asyncDispose]();
  await open();
}

/** The next event of that name; those before it are passed over. */
async function until(action: string): Promise<DockerEvent> {
  for (;;) {
    const { value, done } = await happened.next();
    if (done === true) throw new Error(`${action} did not happen`);
    if (value.Type === 'container' && value.Action === action) return value;
  }
}

async function created(
  name: string,
  policy: string,
  more: { readonly MaximumRetryCount?: number } = {},
): Promise<string> {
  const HostConfig = { NetworkMode: 'none', RestartPolicy: { Name: policy, MaximumRetryCount: 0, ...more } };
  const { Id } = await containers.create({ Image: 'busybox', Cmd: ['true'], HostConfig }, { name });
  return Id;
}

async function started(...args: Parameters<typeof created>): Promise<string> {
  const id = await created(...args);
  await containers.start(id);
  await until('start');
  return id;
}

/** Ends a run after some time and waits until that is known. */
async function ends(id: string, exitCode: number, ranFor = 50): Promise<void> {
  await clock.advance(ranFor);
  engine.end(id, exitCode);
  await until('die');
}

const state = async (id: string): Promise<Record<string, unknown>> =>
  (await containers.inspect(id, { size: false })).State as Record<string, unknown>;
const status = async (id: string): Promise<unknown> => (await state(id)).Status;
const restartCount = async (id: string): Promise<unknown> =>
  (await containers.inspect(id, { size: false })).RestartCount;

describe('a restart policy', () => {
  test('waits longer after each short run, and begins anew after one of ten seconds', async () => {
    const id = await started('again', 'always');
    const waits = [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, minute, minute];
    for (const [index, wait] of waits.entries()) {
      await ends(id, 1);
      await clock.advance(wait - 1);
      expect(await status(id)).toBe('restarting');
      expect(engine.starts.get(id)).toBe(index + 1);
      await clock.advance(1);
      await until('start');
      expect(await restartCount(id)).toBe(index + 1);
    }
    await ends(id, 0, 10_000);
    await clock.advance(100);
    await until('start');
    expect(await state(id)).toMatchObject({ Status: 'running', Restarting: false, ExitCode: 0 });
  });

  test('tries as often as it says, after failures only', async () => {
    const id = await started('failing', 'on-failure', { MaximumRetryCount: 2 });
    for (const wait of [100, 200]) {
      await ends(id, 3);
      await clock.advance(wait);
      await until('start');
    }
    const { result } = await containers.wait(id, 'not-running', over.signal);
    await ends(id, 4);
    expect(await result).toEqual({ StatusCode: 4 });
    expect(await state(id)).toMatchObject({ Status: 'exited', ExitCode: 4 });
    expect(await restartCount(id)).toBe(2);
    // Started by hand it has all its tries again, and the first wait.
    await containers.start(id);
    await until('start');
    expect(await restartCount(id)).toBe(0);
    await ends(id, 5);
    await clock.advance(100);
    await until('start');
    await ends(id, 0);
    expect(await status(id)).toBe('exited');
    await clock.advance(minute);
    expect(engine.starts.get(id)).toBe(5);
  });

  test('leaves the exit code of the last run where the next start fails', async () => {
    const HostConfig = { NetworkMode: 'none', RestartPolicy: { Name: 'always' } };
    const owner = await started('owner', '');
    const body = { Image: 'busybox', Cmd: ['true'], HostConfig: { ...HostConfig, PidMode: 'container:owner' } };
    const { Id } = await containers.create(body, { name: 'joined' });
    await containers.start(Id);
    await until('start');
    await ends(owner, 0);
    await ends(Id, 137);
    await clock.advance(100);
    await expect.poll(() => state(Id)).toMatchObject({ Status: 'exited', ExitCode: 137 });
    await expect(containers.start(Id)).rejects.toThrow('failed to join PID namespace');
    expect((await state(Id)).ExitCode).toBe(137);
    expect(problems.splice(0)).toHaveLength(1);
  });

  test.each(['stop', 'kill', 'remove'] as const)('gives up its wait at %s', async (how) => {
    const id = await started('waiting', 'always');
    await ends(id, 1);
    expect(await status(id)).toBe('restarting');
    if (how === 'stop') expect(await containers.stop(id, {})).toBe(true);
    else if (how === 'kill') await containers.kill(id, 'TERM');
    else await containers.remove(id, { force: true, volumes: false, link: false });
    if (how !== 'remove') expect(await state(id)).toMatchObject({ Status: 'exited', ExitCode: 1, Restarting: false });
    await clock.advance(2 * minute);
    expect(engine.starts.get(id)).toBe(1);
  });

  test('waits no longer when a user starts it', async () => {
    const id = await started('waiting', 'always');
    await ends(id, 1);
    await clock.advance(100);
    await until('start');
    await ends(id, 1);
    expect(await containers.start(id)).toBe(true);
    await until('start');
    await clock.advance(minute);
    expect(engine.starts.get(id)).toBe(3);
    await ends(id, 1);
    await clock.advance(100);
    await until('start');
  });

  test('is over when a user stops it, however it ends then', async () => {
    const id = await started('stopped', 'always');
    const stopping = containers.stop(id, { timeout: 3 });
    await until('kill');
    await clock.advance(2999);
    expect(engine.signals).toEqual(['SIGTERM']);
    await clock.advance(1);
    expect(await stopping).toBe(true);
    expect(engine.signals).toEqual(['SIGTERM', 'SIGKILL']);
    await clock.advance(minute);
    expect(await state(id)).toMatchObject({ Status: 'exited', ExitCode: 137 });
    expect(engine.starts.get(id)).toBe(1);
  });

  test.each([
    ['no', 'ended', 1, 1],
    ['always', 'ended by a user', 0, 2],
    ['always', 'ended', 0, 2],
    ['unless-stopped', 'ended by a user', 0, 1],
    ['unless-stopped', 'ended by the daemon’s end', 0, 2],
    ['always', 'ended by the daemon’s end', 0, 2],
    ['on-failure', 'ended by the daemon’s end', 143, 2],
    ['on-failure', 'ended by the daemon’s end', 0, 1],
    ['on-failure', 'ended by a user', 143, 2],
    ['on-failure', 'ended', 0, 1],
    ['always', 'never run', 0, 0],
  ] as const)('%s at the start of the daemon, %s (%d): %d starts in all', async (policy, how, exitCode, starts) => {
    const id = how === 'never run' ? await created('it', policy) : await started('it', policy);
    if (how === 'ended by a user' || how === 'ended by the daemon’s end') {
      const stopping = how === 'ended by a user' ? containers.stop(id, {}) : containers.stopAll();
      await until('kill');
      await ends(id, exitCode);
      await stopping;
      await reopen();
    } else if (how === 'ended') {
      // While no daemon looks.
      await containers[Symbol.asyncDispose]();
      engine.end(id, exitCode);
      await open();
      expect(await status(id)).toBe(starts === 2 ? 'restarting' : 'exited');
      await clock.advance(100);
      if (starts === 2) await until('start');
    } else await reopen();
    expect(engine.starts.get(id) ?? 0).toBe(starts);
    expect(await status(id)).toBe(starts === 2 ? 'running' : starts === 1 ? 'exited' : 'created');
    await clock.advance(minute);
    expect(engine.starts.get(id) ?? 0).toBe(starts);
  });

  test('goes on with its count and its wait in the next daemon', async () => {
    const id = await started('failing', 'on-failure', { MaximumRetryCount: 2 });
    await ends(id, 3);
    await reopen();
    expect(await state(id)).toMatchObject({ Status: 'restarting', ExitCode: 3 });
    expect(await restartCount(id)).toBe(1);
    await clock.advance(100);
    await until('start');
    await reopen();
    expect(await restartCount(id)).toBe(1);
    await ends(id, 3);
    await clock.advance(100);
    await until('start');
    await ends(id, 3);
    expect(await restartCount(id)).toBe(2);
    expect(await state(id)).toMatchObject({ Status: 'exited', ExitCode: 3 });
  });
});

test('what a power cut left of one that was being made goes; one that ran is shown until its user removes it', async () => {
  const [made, ran] = [await created('made', 'no'), await started('ran', 'no')];
  await ends(ran, 0);
  for (const id of [made, ran]) await engine.removePodSandbox(id);
  await reopen();
  await expect(containers.inspect(made, { size: false })).rejects.toMatchObject({ code: 'notFound' });
  expect(await state(ran)).toMatchObject({ Status: 'dead', Dead: true, Error: 'the files of the container are lost' });
  expect(problems.splice(0)).toHaveLength(1);
  await expect(containers.start(ran)).rejects.toMatchObject({ code: 'conflict' });
  await reopen();
  expect(problems.splice(0)).toHaveLength(1);
  await containers.remove(ran, { force: false, volumes: false, link: false });
  await reopen();
  await expect(containers.inspect(ran, { size: false })).rejects.toMatchObject({ code: 'notFound' });
});

describe('records that cannot be read', () => {
  test('of the engine: nothing is removed, and all is as before when they are mended', async () => {
    const [made, ran] = [await created('made', 'no'), await started('ran', 'no')];
    await ends(ran, 0);
    const lost = vi.spyOn(engine, 'listContainers').mockResolvedValue([]);
    engine.unreadableRecords = '/engine/containers.journal.unreadable';
    await reopen();
    for (const id of [made, ran]) {
      const why = expect.stringContaining('/engine/containers.journal.unreadable');
      expect(await state(id)).toMatchObject({ Status: 'dead', Error: why });
    }
    expect(problems.splice(0)).toHaveLength(2);
    engine.unreadableRecords = undefined;
    lost.mockRestore();
    await reopen();
    expect(await status(made)).toBe('created');
    expect(await status(ran)).toBe('exited');
  });

  test('of docker’s part: what the engine has stays, and is here again when they are mended', async () => {
    const id = await started('ran', 'no');
    const journal = join(folder, 'containers.journal');
    await containers[Symbol.asyncDispose]();
    const good = readFileSync(journal);
    writeFileSync(journal, '\0\0\0');
    await reopen();
    await expect(containers.inspect(id, { size: false })).rejects.toMatchObject({ code: 'notFound' });
    expect(await engine.listPodSandboxes({})).toHaveLength(1);
    expect(problems.splice(0).join('')).toMatch(/put aside.*containers\.journal\.unreadable.*kept what belongs to/s);
    await containers[Symbol.asyncDispose]();
    writeFileSync(journal, good);
    rmSync(`${journal}.unreadable`);
    await reopen();
    expect(await status(id)).toBe('running');
  });
});

describe('a health check', () => {
  async function checked(check: object): Promise<string> {
    const Healthcheck = { Test: ['CMD', 'check'], ...check };
    const HostConfig = { NetworkMode: 'none' };
    const { Id } = await containers.create(
      { Image: 'busybox', Cmd: ['true'], Healthcheck, HostConfig },
      { name: 'well' },
    );
    await containers.start(Id);
    await until('start');
    return Id;
  }

  /** Lets time pass, in which one probe is due, and gives what is known then. */
  async function probed(id: string, wait: number, result: (typeof engine.commands)[number]): Promise<unknown> {
    engine.commands.push(result);
    await clock.advance(wait);
    expect(engine.commands).toEqual([]);
    return (await state(id)).Health;
  }

  test('is made at each interval; failures in a row make it unhealthy, one success healthy', async () => {
    const id = await checked({ Interval: 2 * second, Retries: 2, Timeout: second });
    expect(await state(id)).toMatchObject({ Health: { Status: 'starting', FailingStreak: 0, Log: [] } });
    // A probe that no result is there for would fail.
    await clock.advance(1999);
    expect(await probed(id, 1, { exitCode: 1, stdout: 'no' })).toMatchObject({
      Status: 'starting',
      FailingStreak: 1,
      Log: [{ ExitCode: 1, Output: 'no' }],
    });
    expect(await probed(id, 2000, { exitCode: 0 })).toMatchObject({ Status: 'healthy', FailingStreak: 0 });
    expect(await probed(id, 2000, undefined)).toMatchObject({
      Status: 'healthy',
      FailingStreak: 1,
      Log: [{}, {}, { ExitCode: -1, Output: 'Health check exceeded timeout (1s)' }],
    });
    expect(await probed(id, 2000, { exitCode: 2 })).toMatchObject({ Status: 'unhealthy', FailingStreak: 2 });
    await probed(id, 2000, { exitCode: 2 });
    const Log = [{ ExitCode: 0 }, { ExitCode: -1 }, { ExitCode: 2 }, { ExitCode: 2 }, { ExitCode: 0 }];
    expect(await probed(id, 2000, { exitCode: 0 })).toMatchObject({ Status: 'healthy', Log });
    expect(await changes()).toEqual(['healthy', 'unhealthy', 'healthy']);
  });

  /** Changes of health that were told of. */
  async function changes(): Promise<string[]> {
    const found: string[] = [];
    // Events of one moment are told apart by some ns.
    await clock.advance(1);
    const range = { since: 0n, until: BigInt(clock.now()) * 1_000_000n };
    for await (const { Action } of events.read(range, over.signal))
      if (Action.startsWith('health_status: ')) found.push(Action.slice('health_status: '.length));
    return found;
  }

  test('does not count failures while it starts, and looks more often then', async () => {
    const id = await checked({ Interval: 10 * second, StartPeriod: 5 * second, StartInterval: second, Retries: 1 });
    for (let count = 0; count < 4; count++)
      expect(await probed(id, 1000, { exitCode: 1 })).toMatchObject({ Status: 'starting', FailingStreak: 0 });
    expect(await probed(id, 1000, { exitCode: 0 })).toMatchObject({ Status: 'healthy' });
    await clock.advance(9999);
    expect(await probed(id, 1, { exitCode: 1 })).toMatchObject({ Status: 'unhealthy', FailingStreak: 1 });
  });

  test('stands still while the container is paused or has ended', async () => {
    const id = await checked({ Interval: second });
    await containers.pause(id);
    await clock.advance(minute);
    await containers.unpause(id);
    expect(await probed(id, 1000, { exitCode: 0 })).toMatchObject({ Status: 'healthy' });
    await ends(id, 0);
    await clock.advance(minute);
    // The next run begins anew, below what was found before.
    await containers.start(id);
    await until('start');
    expect(await state(id)).toMatchObject({ Health: { Status: 'starting', FailingStreak: 0, Log: [{ ExitCode: 0 }] } });
  });

  test('goes on in the next daemon with what was found', async () => {
    const id = await checked({ Interval: second, Retries: 3 });
    for (const exitCode of [0, 1, 1]) await probed(id, 1000, { exitCode });
    const { Health: before } = await state(id);
    await reopen();
    expect((await state(id)).Health).toEqual(before);
    expect(await probed(id, 1000, { exitCode: 1 })).toMatchObject({ Status: 'unhealthy', FailingStreak: 3 });
    // Not of a run that the former daemon knew nothing of.
    await containers[Symbol.asyncDispose]();
    engine.end(id, 0);
    await engine.stopPodSandbox(id);
    await clock.advance(minute);
    await engine.startPodSandbox(id);
    await engine.startContainer(id);
    await open();
    expect(await state(id)).toMatchObject({ Status: 'running', Health: { Status: 'starting', FailingStreak: 0 } });
  });
});
