import { execFileSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { writeTar } from '@wherry/images';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { JsonObject } from '../src/index.ts';
import { type DockerMachine, dockerMachine } from './docker-machine.ts';

const range = [{ containerId: 0, hostId: 200_000, size: 65_536 }];
const never = new AbortController().signal;
let machine: DockerMachine;

beforeAll(async () => {
  machine = await dockerMachine({ users: { uidMappings: range, gidMappings: range } });
});
afterAll(async () => {
  await machine[Symbol.asyncDispose]();
});

/** Runs a script to its end; gives its lines. */
async function run(name: string, script: string, host: JsonObject = {}, image = 'busybox'): Promise<string[]> {
  const { containers } = machine;
  const config = { Image: image, Cmd: ['sh', '-c', script], AttachStdout: true, AttachStderr: true };
  await containers.create({ ...config, HostConfig: { NetworkMode: 'none', ...host } }, { name });
  const attached = await containers.attach(name, {
    stream: true,
    logs: false,
    stdin: false,
    stdout: true,
    stderr: true,
  });
  const { result } = await containers.wait(name, 'next-exit', never);
  const output = buffer(attached.session.stdout!);
  await containers.start(name);
  await result;
  await attached[Symbol.asyncDispose]();
  return (await output).toString().trim().split('\n');
}

const owners = async (archive: Readable): Promise<string[]> =>
  execFileSync('tar', ['--numeric-owner', '-tvf', '-'], { input: await buffer(archive) })
    .toString()
    .trim()
    .split('\n')
    .map((line) => line.replace(/^\S+\s+(\S+)\s.*\s(\S+)$/, '$1 $2'));
const changes = async (name: string): Promise<string[]> =>
  (await machine.containers.changes(name)).map(({ Path, Kind }) => `${'CAD'[Kind]} ${Path}`);
const remove = (name: string): Promise<void> =>
  machine.containers.remove(name, { force: true, volumes: true, link: false });

test('root of a container is nobody on the machine; its files are its own wherever they are looked at', async () => {
  const script = [
    'id -u; cut -c1-40 /proc/self/uid_map',
    'touch /etc/mine; echo x > /data/f; chown 7:8 /data/f; mkdir /made; chown 5:6 /made; echo own >> /etc/hosts',
    'stat -c "%u:%g %n" /etc /etc/passwd /data /data/f /made /etc/hosts',
  ].join('; ');
  const lines = await run('mapped', script, { Binds: ['data:/data'] });
  expect(lines[0]).toBe('0');
  expect(lines[1]!.trim().split(/\s+/)).toEqual(['0', '200000', '65536']);
  expect(lines.slice(2)).toEqual(
    expect.arrayContaining(['0:0 /etc', '0:0 /etc/passwd', '0:0 /data', '7:8 /data/f', '5:6 /made', '0:0 /etc/hosts']),
  );
  const data = machine.volumes.find('data')!.mountpoint;
  expect([statSync(data).uid, statSync(join(data, 'f')).uid, statSync(join(data, 'f')).gid]).toEqual([
    ...[200_000, 200_007, 200_008],
  ]);
  // It has ended: nobody but who looks has the root mounted.
  expect(await changes('mapped')).toEqual(['A /data', 'C /etc', 'A /etc/mine', 'A /made']);
  expect(await owners(await machine.containers.export('mapped'))).toEqual(
    expect.arrayContaining(['0/0 etc/', '0/0 etc/passwd', '0/0 etc/mine', '5/6 made/', '0/0 .dockerenv']),
  );
  const { archive } = await machine.containers.getArchive('mapped', '/data/f');
  expect(await owners(archive)).toEqual(['7/8 f']);
  const entries = [{ name: 'in', type: 'file', mode: 0o644, uid: 9, gid: 10, content: Buffer.from('i') }] as const;
  const keep = { noOverwriteDirNonDir: true, copyUidGid: false };
  await machine.containers.putArchive('mapped', '/home', Readable.from(writeTar(entries)), keep);
  const { archive: back } = await machine.containers.getArchive('mapped', '/home/in');
  expect(await owners(back)).toEqual(['9/10 in']);
  await machine.containers.commit({ container: 'mapped', repo: 'committed', pause: true, changes: [] });
  const stat = 'stat -c "%u:%g %n" /etc/mine /made /home/in /home';
  const seen = ['0:0 /etc/mine', '5:6 /made', '9:10 /home/in', '0:0 /home'];
  expect(await run('again', stat, {}, 'committed')).toEqual(seen);
  expect(
    await run('plain', `id -u; cut -c1-33 /proc/self/uid_map; ${stat}`, { UsernsMode: 'host' }, 'committed'),
  ).toEqual(['0', expect.stringMatching(/^\s*0\s+0\s+4294967295$/), ...seen]);
  for (const name of ['mapped', 'again', 'plain']) await remove(name);
  await machine.images.remove('committed', { inUse: () => undefined });
});

test('a volume is filled with owners of its users; a folder of the host is made for them', async () => {
  const made = join(machine.folder, 'made/deep');
  const lines = await run('filled', 'stat -c "%u:%g %n" /etc /etc/passwd /b', { Binds: ['etc:/etc', `${made}:/b`] });
  expect(lines).toEqual(['0:0 /etc', '0:0 /etc/passwd', '0:0 /b']);
  expect(statSync(join(machine.volumes.find('etc')!.mountpoint, 'passwd')).uid).toBe(200_000);
  expect([made, join(made, '..')].map((path) => statSync(path).uid)).toEqual([200_000, 200_000]);
  await remove('filled');
  expect(existsSync(made)).toBe(true);
});

test.each([
  [
    { Privileged: true },
    'privileged mode is incompatible with user namespaces.  You must run the container in the host',
  ],
  [{ NetworkMode: 'host' }, "cannot share the host's network namespace when user namespaces are enabled"],
  [{ PidMode: 'host' }, 'cannot share the host PID namespace when user namespaces are enabled'],
])('refuses %j', async (host, words) => {
  const body = { Image: 'busybox', Cmd: ['true'], HostConfig: { NetworkMode: 'none', ...host } };
  await expect(machine.containers.create(body, {})).rejects.toThrow(words);
  const { Id } = await machine.containers.create({ ...body, HostConfig: { ...host, UsernsMode: 'host' } }, {});
  await remove(Id);
});
