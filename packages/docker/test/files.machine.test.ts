import { execFileSync } from 'node:child_process';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { type TarInput, writeTar } from '@wherry/images';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { JsonObject } from '../src/index.ts';
import { type DockerMachine, dockerMachine } from './docker-machine.ts';

let machine: DockerMachine;

beforeAll(async () => {
  machine = await dockerMachine();
});
afterAll(async () => {
  await machine[Symbol.asyncDispose]();
});

const keep = { noOverwriteDirNonDir: true, copyUidGid: false };
const file = (name: string, content: string): TarInput => ({
  name,
  type: 'file',
  mode: 0o644,
  content: Buffer.from(content),
});
const put = (path: string, ...entries: TarInput[]): Promise<void> =>
  machine.containers.putArchive('f1', path, Readable.from(writeTar(entries)), keep);
async function got(path: string): Promise<string> {
  const { archive } = await machine.containers.getArchive('f1', path);
  return execFileSync('tar', ['-xOf', '-'], { input: await buffer(archive) }).toString();
}

async function create(name: string, command: readonly string[], host: JsonObject = {}): Promise<void> {
  const body = { Image: 'busybox', Cmd: command, HostConfig: { NetworkMode: 'none', ...host } };
  await machine.containers.create(body, { name });
}

async function exec(...command: string[]): Promise<string> {
  const { Id } = await machine.containers.createExec('f1', { Cmd: command, AttachStdout: true, AttachStderr: true });
  await using streams = (await machine.containers.startExec(Id, { detach: false, tty: false }))!;
  const [out, err] = await Promise.all([buffer(streams.session.stdout!), buffer(streams.session.stderr!)]);
  expect(await streams.session.exit).toBe(0);
  return `${out}${err}`;
}

test('works on the files of a container before it runs, while it does and after', async () => {
  await machine.volumes.create({ name: 'data' });
  const tmpfs = { Tmpfs: { '/ram': '' } };
  await create('f1', ['sh', '-c', 'trap exit TERM; while :; do sleep 0.1; done'], { Binds: ['data:/data'], ...tmpfs });
  await put('/', file('data/before', 'b'));
  await put('/etc', file('mine', 'm'));
  await machine.containers.start('f1');
  expect(await exec('cat', '/data/before', '/etc/mine')).toBe('bm');
  // What only its processes have mounted is there while it runs.
  await put('/ram', file('r', 'ram'));
  await put('/data', file('running', 'r'));
  expect(await exec('cat', '/ram/r', '/data/running')).toBe('ramr');
  expect(await got('/ram/r')).toBe('ram');
  await expect(machine.containers.statPath('f1', '/proc/1')).rejects.toThrow('Could not find the file /proc/1');
  await expect(put('/etc', file('hosts', ''))).rejects.toThrow('unlinkat /etc/hosts: device or resource busy');
  expect((await machine.containers.statPath('f1', '/bin/sh')).name).toBe('sh');
  await exec('sh', '-c', 'rm /etc/group; mkdir /newdir; ln -s /data/running /l');
  expect((await machine.containers.statPath('f1', '/l')).linkTarget).toBe('/data/running');
  await machine.containers.stop('f1', { timeout: 5 });
  expect(await got('/data/')).toBe('br');
  const changes = (await machine.containers.changes('f1')).map(({ Path, Kind }) => `${'CAD'[Kind]} ${Path}`);
  expect(changes).toEqual(['A /data', 'C /etc', 'D /etc/group', 'A /etc/mine', 'A /l', 'A /newdir', 'A /ram']);
  const names = execFileSync('tar', ['-tf', '-'], { input: await buffer(await machine.containers.export('f1')) });
  expect(names.toString().split('\n')).toEqual(expect.arrayContaining(['bin/sh', 'etc/mine', 'newdir/']));
  // Of the layer between the image's and its own.
  expect(names.toString().split('\n')).toEqual(expect.arrayContaining(['.dockerenv', 'dev/console', 'etc/mtab']));
  expect(names.toString()).not.toContain('running');
  await expect(machine.containers.statPath('f1', '/nosuch')).rejects.toThrow(
    'Could not find the file /nosuch in container f1',
  );
  await machine.containers.remove('f1', { force: true, volumes: true, link: false });
});

test('a container that puts links in the place of folders gains nothing', async () => {
  const swap = 'while :; do mkdir -p /d; rm -rf /d; ln -s /etc /d; rm -f /d; done';
  await create('f1', ['sh', '-c', swap]);
  await machine.containers.start('f1');
  for (let round = 0; round < 20; round++) {
    await put('/', { name: 'd', type: 'directory', mode: 0o755 }, file('d/planted', 'x')).catch(() => undefined);
    await machine.containers.getArchive('f1', '/d').then(
      ({ archive }) => buffer(archive).catch(() => undefined),
      () => undefined,
    );
  }
  await machine.containers.remove('f1', { force: true, volumes: true, link: false });
  expect(() => execFileSync('test', ['-e', '/etc/planted'])).toThrow();
});
