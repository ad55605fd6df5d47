import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bytesOfName, fsPath, messageOf, silentLogger, systemClock, systemRandom } from '@wherry/base';
import {
  getExtendedAttribute,
  isMountPoint,
  makeNode,
  mountsBelow,
  setExtendedAttribute,
  unmountAll,
} from '@wherry/linux';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { NamedVolumes } from '../named-volumes.ts';
import { openNamedVolumes } from './local-volumes.ts';
import { readVolumeFile, writeVolumeFile } from './volume-file.ts';

let root: string;
let volumes: NamedVolumes;
const reopen = async (): Promise<NamedVolumes> =>
  (volumes = await openNamedVolumes({ root, clock: systemClock, random: systemRandom, log: silentLogger }));
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'wherry-volumes-'));
  await reopen();
});
afterEach(async () => {
  await volumes[Symbol.asyncDispose]();
  const left = mountsBelow(root).map(({ mountPoint }) => mountPoint);
  for (const mountPoint of left) unmountAll(mountPoint);
  rmSync(root, { recursive: true });
  expect(left).toEqual([]);
});
const words = async (work: Promise<unknown>): Promise<string> => work.then(() => 'no error', messageOf);
const tmpfs = { type: 'tmpfs', device: 'tmpfs', o: 'size=1m,mode=0711' };

describe('volumes', () => {
  it('are made once, survive a restart and go with their content', async () => {
    const made = await volumes.create({ name: 'v1', labels: { a: 'b' } });
    expect(made).toMatchObject({
      name: 'v1',
      driver: 'local',
      mountpoint: join(root, 'volumes/v1/_data'),
      labels: { a: 'b' },
    });
    expect(await volumes.create({ name: 'v1', labels: { other: 'x' } })).toEqual(made);
    const unnamed = await volumes.create({ anonymous: true });
    expect(unnamed.name).toMatch(/^[0-9a-f]{64}$/);
    writeFileSync(join(made.mountpoint, 'f'), 'content');
    await reopen();
    expect(volumes.list().length).toBe(2);
    expect(volumes.find('v1')).toEqual(made);
    expect(await volumes.size('v1')).toBe(7);
    await volumes.remove('v1');
    expect(readdirSync(join(root, 'volumes'))).toEqual([unnamed.name]);
  });

  it.each([
    [
      'bad name',
      'create bad name: "bad name" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path',
    ],
    ['../x', 'create ../x: "../x" includes'],
    ['.new-x', 'create .new-x: ".new-x" includes'],
    ['a', 'create a: volume name is too short, names should be at least two alphanumeric characters'],
    ['x'.repeat(300), 'longer than 255'],
  ])('have names that are names: %s', async (name, text) => {
    expect(await words(volumes.create({ name }))).toContain(text);
  });

  it.each([
    [{ foo: 'x' }, 'create vx: invalid option: "foo"'],
    [{ type: 'tmpfs' }, 'create vx: missing required option: "device"'],
    [{ o: 'size=1m' }, 'create vx: missing required option: "device"'],
    [{ size: '10G' }, 'create vx: quota size requested but no quota support'],
  ])('have options of the local driver: %j', async (options, text) => {
    expect(await words(volumes.create({ name: 'vx', options }))).toBe(text);
    expect(volumes.find('vx')).toBeUndefined();
  });

  it('are refused in dockerd’s words', async () => {
    const plugin = 'create v3: error looking up volume plugin nosuch: plugin "nosuch" not found';
    expect(await words(volumes.create({ name: 'v3', driver: 'nosuch' }))).toBe(plugin);
    expect(await words(volumes.remove('nosuch'))).toBe('get nosuch: no such volume');
    await volumes.remove('nosuch', { force: true });
    expect(await words(volumes.hold('nosuch', 'c'))).toBe('get nosuch: no such volume');
    expect(await words(volumes.mount('nosuch', 'c'))).toBe('get nosuch: no such volume');
  });

  it('stay while they are held, over a restart too', async () => {
    await volumes.create({ name: 'v1' });
    await volumes.hold('v1', 'c1');
    await volumes.hold('v1', 'c1');
    await volumes.create({ name: 'v1', user: 'c2' });
    await volumes.create({ name: 'v2', user: 'c1' });
    await reopen();
    expect(volumes.users('v2')).toEqual(['c1']);
    expect(await words(volumes.remove('v1', { force: true }))).toBe('remove v1: volume is in use - [c1, c2]');
    await volumes.release('v1', 'c1');
    await volumes.reconcile(new Set(['c3']));
    expect(volumes.users('v1')).toEqual([]);
    await volumes.remove('v1');
  });

  it('leave nothing of what a crash cut short', async () => {
    mkdirSync(join(root, 'volumes/.new-1/_data'), { recursive: true });
    mkdirSync(join(root, 'volumes/.removed-1/_data/x'), { recursive: true });
    mkdirSync(join(root, 'volumes/foreign'));
    const { mountpoint } = await volumes.create({ name: 'half' });
    writeFileSync(join(mountpoint, 'f'), '');
    const folder = join(root, 'volumes/half');
    await writeVolumeFile(folder, { ...(await readVolumeFile(folder)), filling: true });
    writeFileSync(join(folder, 'volume.json.1234abcd.tmp'), '{"ver');
    await reopen();
    expect(readdirSync(folder).sort()).toEqual(['_data', 'volume.json']);
    expect(readdirSync(join(root, 'volumes')).sort()).toEqual(['foreign', 'half']);
    expect(readdirSync(mountpoint)).toEqual([]);
    expect(volumes.list().map(({ name }) => name)).toEqual(['half']);
  });
});

describe('a volume with a file system of its own', () => {
  it('is mounted while somebody uses it', async () => {
    await volumes.create({ name: 'v2', options: tmpfs });
    const path = await volumes.mount('v2', 'c1');
    expect(await volumes.mount('v2', 'c2')).toBe(path);
    expect(isMountPoint(path)).toBe(true);
    expect(lstatSync(path).mode & 0o7777).toBe(0o711);
    expect(await volumes.size('v2')).toBeUndefined();
    await volumes.unmount('v2', 'c1');
    await reopen();
    expect(isMountPoint(path)).toBe(true);
    await volumes.unmount('v2', 'c2');
    await volumes.unmount('v2', 'c2');
    expect(isMountPoint(path)).toBe(false);
    await volumes.mount('v2', 'gone');
    await volumes.reconcile(new Set());
    expect(isMountPoint(path)).toBe(false);
  });

  it('may be a folder of the host, which its removal leaves alone', async () => {
    const host = join(root, 'host');
    mkdirSync(host);
    writeFileSync(join(host, 'f'), '');
    await volumes.create({ name: 'vb', options: { type: 'none', device: host, o: 'bind,ro' } });
    const path = await volumes.mount('vb', 'c');
    expect(readdirSync(path)).toEqual(['f']);
    expect(() => writeFileSync(join(path, 'g'), '')).toThrow(/EROFS/);
    await volumes.remove('vb');
    expect(readdirSync(host)).toEqual(['f']);
  });

  it('says what could not be mounted', async () => {
    await volumes.create({ name: 'vn', options: { type: 'none', device: '/no/such', o: 'bind' } });
    const path = join(root, 'volumes/vn/_data');
    expect(await words(volumes.mount('vn', 'c'))).toBe(
      `error while mounting volume '${path}': failed to mount local volume: mount /no/such:${path}, flags: 0x1000: no such file or directory`,
    );
    expect((await readVolumeFile(join(root, 'volumes/vn'))).mountedBy).toEqual([]);
  });
});

describe('filling a volume from an image', () => {
  let image: string;
  const at = (name: string): string => join(image, name);
  beforeEach(() => {
    image = join(root, 'image');
    mkdirSync(at('etc/sub'), { recursive: true });
    writeFileSync(join(root, 'secret'), 'of the host');
    chmodSync(at('etc'), 0o750);
    chownSync(at('etc'), 7, 8);
  });

  it('copies content, owners, modes, times, attributes, links, holes and devices', async () => {
    writeFileSync(at('etc/f'), 'content');
    chownSync(at('etc/f'), 1, 2);
    chmodSync(at('etc/f'), 0o4711);
    utimesSync(at('etc/f'), 1000, 2000);
    setExtendedAttribute(at('etc/f'), 'user.k', Buffer.from('v'));
    linkSync(at('etc/f'), at('etc/sub/same'));
    symlinkSync('../../../secret', at('etc/l'));
    lchownSync(at('etc/l'), 5, 6);
    // Names of any bytes.
    mkdirSync(fsPath(at('etc/d\udcff')));
    writeFileSync(fsPath(at('etc/d\udcff/caf\udce9')), 'x');
    linkSync(fsPath(at('etc/d\udcff/caf\udce9')), fsPath(at('etc/h\udcff')));
    symlinkSync(bytesOfName('to\udc80'), fsPath(at('etc/l\udcff')));
    makeNode(at('etc/c'), { type: 'character', mode: 0o640, major: 300, minor: 70_000 });
    makeNode(at('etc/p'), { type: 'fifo', mode: 0o600 });
    execFileSync('truncate', ['-s', '8M', at('etc/holes')]);
    execFileSync('dd', [
      'if=/dev/zero',
      `of=${at('etc/holes')}`,
      'bs=4k',
      'count=1',
      'seek=500',
      'conv=notrunc',
      'status=none',
    ]);
    await volumes.create({ name: 'v1' });
    await volumes.copyUp('v1', image, '/etc');
    const data = volumes.find('v1')!.mountpoint;
    const facts = (folder: string): string =>
      execFileSync('find', ['.', '-printf', '%p %y %m %U %G %s %Ts %l %n\n'], { cwd: folder })
        .toString('latin1')
        .split('\n')
        .sort()
        .join('\n');
    expect(facts(data)).toBe(facts(at('etc')));
    expect(readFileSync(join(data, 'f'), 'utf8')).toBe('content');
    expect(getExtendedAttribute(join(data, 'f'), 'user.k')?.toString()).toBe('v');
    expect(lstatSync(join(data, 'sub/same')).ino).toBe(lstatSync(join(data, 'f')).ino);
    expect(lstatSync(join(data, 'c')).rdev).toBe(lstatSync(at('etc/c')).rdev);
    expect(lstatSync(join(data, 'holes')).blocks).toBeLessThan(64);
    expect(readlinkSync(join(data, 'l'))).toBe('../../../secret');
    // What is in it stays.
    writeFileSync(at('etc/new'), '');
    await volumes.copyUp('v1', image, '/etc');
    expect(existsSync(join(data, 'new'))).toBe(false);
  });

  it('follows links within the image alone', async () => {
    symlinkSync('/etc', at('abs'));
    symlinkSync('../../../../etc', at('etc/sub/up'));
    symlinkSync(root, at('out'));
    writeFileSync(at('etc/mine'), '');
    for (const [name, source] of Object.entries({
      va: 'abs',
      vb: 'etc/sub/up',
      vc: 'out',
      ve: 'nosuch',
      vf: '../..',
    })) {
      await volumes.create({ name });
      await volumes.copyUp(name, image, source);
    }
    const content = (name: string): string[] => readdirSync(volumes.find(name)!.mountpoint).sort();
    expect(content('va')).toEqual(['mine', 'sub']);
    expect(content('vb')).toEqual(['mine', 'sub']);
    for (const name of ['vc', 've']) expect(content(name)).toEqual([]);
    await volumes.create({ name: 'vd' });
    const refusal = `source ${image}/etc/mine is not directory`;
    await expect(volumes.copyUp('vd', image, 'etc/mine')).rejects.toThrow(refusal);
    await volumes.copyUp('va', image, 'etc/mine');
    expect(content('vf')).toEqual(readdirSync(image).sort());
  });

  it('keeps nothing mounted', async () => {
    mkdirSync(join(root, 'host'));
    writeFileSync(at('etc/f'), '');
    await volumes.create({ name: 'vt', options: tmpfs });
    await volumes.create({ name: 'vb', options: { type: 'none', device: join(root, 'host'), o: 'bind' } });
    for (const name of ['vt', 'vb']) await volumes.copyUp(name, image, 'etc');
    expect(mountsBelow(root)).toEqual([]);
    expect(readdirSync(join(root, 'host')).sort()).toEqual(['f', 'sub']);
  });
});
