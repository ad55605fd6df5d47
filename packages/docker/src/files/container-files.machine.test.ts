import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
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
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { fsPath, messageOf } from '@wherry/base';
import { readTar, type TarInput, writeTar } from '@wherry/images';
import {
  getExtendedAttribute,
  makeNode,
  mountOverlay,
  mountsBelow,
  setExtendedAttribute,
  unmountAll,
} from '@wherry/linux';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ContainerFiles, ContainerView, ViewMount } from './container-files.ts';
import { createContainerFiles } from './create-container-files.ts';

let folder: string;
let files: ContainerFiles;
let view: { mounts: ViewMount[]; readOnly: boolean; user: string };
let open = 0;
const target = { id: 'c1', reference: 'f1' };
const at = (path: string): string => join(folder, path);
const root = (path: string): string => at(`merged/${path}`);
const descriptors = (): number => readdirSync('/proc/self/fd').length;
let before: number;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'wherry-files-'));
  for (const name of ['low/etc', 'low/home/user', 'base/opt/old', 'upper', 'work', 'merged', 'host'])
    mkdirSync(at(name), { recursive: true });
  writeFileSync(at('low/etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\napp:x:77:78::/:/bin/sh\n');
  writeFileSync(at('low/etc/group'), 'root:x:0:\nteam:x:99:\n');
  for (const name of ['f', 'g', 'h']) writeFileSync(at(`base/opt/old/${name}`), name);
  writeFileSync(at('host/secret'), 'of the host');
  mountOverlay({
    lowerDirectories: [at('low'), at('base')],
    upperDirectory: at('upper'),
    workDirectory: at('work'),
    target: at('merged'),
  });
  view = { mounts: [], readOnly: false, user: '' };
  open = 0;
  files = createContainerFiles(async (): Promise<ContainerView> => {
    open++;
    return {
      root: {
        path: at('merged'),
        processRoot: undefined,
        upperDirectory: at('upper'),
        lowerDirectories: [at('low'), at('base')],
        [Symbol.dispose]: () => undefined,
      },
      ...view,
      [Symbol.asyncDispose]: async () => void open--,
    };
  });
  before = descriptors();
});
afterEach(() => {
  for (const { mountPoint } of mountsBelow(folder)) unmountAll(mountPoint);
  expect(readFileSync(at('host/secret'), 'utf8')).toBe('of the host');
  rmSync(folder, { recursive: true });
  expect(open).toBe(0);
  expect(descriptors()).toBeLessThanOrEqual(before);
});

const words = async (work: Promise<unknown>): Promise<string> => work.then(() => 'no error', messageOf);
const keep = { noOverwriteDirNonDir: false, copyUidGid: false };
const put = (path: string, entries: TarInput[], options = keep): Promise<void> =>
  files.putArchive(target, path, Readable.from(writeTar(entries)), options);
const file = (name: string, content = name, more: Partial<TarInput> = {}): TarInput => ({
  name,
  type: 'file',
  mode: 0o644,
  mtime: 1000,
  content: Buffer.from(content),
  ...more,
});
const list = (archive: Buffer, ...options: string[]): string[] =>
  execFileSync('tar', ['-tf', '-', ...options], { input: archive, stdio: ['pipe', 'pipe', 'ignore'] })
    .toString()
    .trim()
    .split('\n');
const names = async (path: string): Promise<string[]> =>
  list(await buffer((await files.getArchive(target, path)).archive));

describe('the status of a path', () => {
  it('is Go’s', async () => {
    mkdirSync(root('tmp'));
    chmodSync(root('tmp'), 0o1777);
    writeFileSync(root('tmp/f'), 'five5');
    chmodSync(root('tmp/f'), 0o4755);
    utimesSync(root('tmp/f'), 1.5, 1.5);
    makeNode(root('tmp/null'), { type: 'character', mode: 0o644, major: 1, minor: 3 });
    expect(await files.statPath(target, '/tmp')).toMatchObject({ name: 'tmp', mode: 2148532735, linkTarget: '' });
    expect(await files.statPath(target, 'tmp/f')).toEqual({
      name: 'f',
      size: 5,
      mode: 0o755 | (1 << 23),
      mtime: '1970-01-01T00:00:01.5Z',
      linkTarget: '',
    });
    expect((await files.statPath(target, '/tmp/null')).mode).toBe(0o644 | (1 << 26) | (1 << 21));
    expect((await files.statPath(target, '/')).name).toBe('/');
    expect((await files.statPath(target, '/tmp/.')).name).toBe('.');
  });

  it('tells where a link leads, inside of the container', async () => {
    symlinkSync('/etc', root('abs'));
    symlinkSync('../../../../../../etc/passwd', root('home/user/up'));
    symlinkSync('nowhere/at/all', root('home/broken'));
    symlinkSync('loop', root('loop'));
    const link = async (path: string) => (await files.statPath(target, path)).linkTarget;
    expect(await link('/abs')).toBe('/etc');
    expect(await link('/home/user/up')).toBe('/etc/passwd');
    expect(await link('/home/broken')).toBe('/home/nowhere/at/all');
    // With a slash it is what it leads to.
    expect(await files.statPath(target, '/abs/')).toMatchObject({ name: 'abs', linkTarget: '' });
    expect(await words(files.statPath(target, '/loop/x'))).toContain('too many links in /loop');
  });

  it('is refused in dockerd’s words', async () => {
    expect(await words(files.statPath(target, '/nosuch'))).toBe('Could not find the file /nosuch in container f1');
    expect(await words(files.getArchive(target, '/no/such'))).toBe('Could not find the file /no/such in container f1');
    expect(await words(files.statPath(target, '/etc/passwd/'))).toBe('lstat /etc/passwd/: not a directory');
    expect(await words(files.statPath(target, `/${'x'.repeat(300)}`))).toContain('file name too long');
    expect(await words(files.statPath(target, '/a\0b'))).toContain('zero byte');
  });
});

describe('copying out', () => {
  it('gives files, links and folders under the last name of the path', async () => {
    mkdirSync(root('d/sub'), { recursive: true });
    writeFileSync(root('d/sub/a'), 'a');
    symlinkSync('a', root('d/sub/l'));
    symlinkSync('/d', root('link'));
    expect(await names('/d')).toEqual(['d/', 'd/sub/', 'd/sub/a', 'd/sub/l']);
    expect(await names('/d/.')).toEqual(['./', './sub/', './sub/a', './sub/l']);
    expect(await names('/link')).toEqual(['link']);
    expect(await names('/link/')).toEqual(['link/', 'link/sub/', 'link/sub/a', 'link/sub/l']);
    expect(await names('/d/sub/a')).toEqual(['a']);
    expect(await names('/')).toContain('/d/sub/a');
  });

  it('shows what would be mounted in one that does not run', async () => {
    mkdirSync(at('volume/in'), { recursive: true });
    writeFileSync(at('volume/in/f'), 'v');
    mkdirSync(root('data'));
    symlinkSync('/data/in/../..', root('home/via'));
    view.mounts = [
      { containerPath: '/data', hostPath: at('volume'), readOnly: false },
      { containerPath: '/etc/passwd', hostPath: at('host/secret'), readOnly: true },
    ];
    expect(await names('/data')).toEqual(['data/', 'data/in/', 'data/in/f']);
    expect(await names('/')).toContain('/data/in/f');
    expect((await files.statPath(target, '/home/via/etc/passwd')).size).toBe(11);
    expect((await files.statPath(target, '/data/..')).name).toBe('/');
  });

  it('gives everything back when nobody reads on', async () => {
    writeFileSync(root('big'), Buffer.alloc(4 << 20));
    const { archive } = await files.getArchive(target, '/big');
    await new Promise((resolve) => archive.once('readable', resolve));
    archive.destroy();
    await new Promise((resolve) => archive.once('close', resolve));
  });
});

it('exports the root without what is mounted in it', async () => {
  mkdirSync(root('data'));
  view.mounts = [{ containerPath: '/data', hostPath: at('host'), readOnly: false }];
  const archive = await buffer(await files.export(target));
  expect(list(archive)).toEqual([
    ...['data/', 'etc/', 'etc/group', 'etc/passwd', 'home/', 'home/user/', 'opt/', 'opt/old/'],
    ...['opt/old/f', 'opt/old/g', 'opt/old/h'],
  ]);
});

describe('copying in', () => {
  it('makes what the archive has, as it has it', async () => {
    await put('/home', [
      { name: 'd', type: 'directory', mode: 0o2750, uid: 5, gid: 6, mtime: 77 },
      file('d/f', 'content', { mode: 0o4711, uid: 1, gid: 2, xattrs: new Map([['user.k', Buffer.from('v')]]) }),
      { name: 'd/h', type: 'link', mode: 0o644, linkName: 'd/f' },
      { name: 'd/l', type: 'symlink', mode: 0o777, linkName: '/etc/passwd', uid: 3 },
      { name: 'd/p', type: 'fifo', mode: 0o600 },
      { name: 'd/c', type: 'character', mode: 0o640, major: 1, minor: 3 },
      file('deep/er/f'),
    ]);
    const facts = execFileSync('find', ['.', '-printf', '%p %y %m %U %G %Ts %l\n'], { cwd: root('home/d') });
    expect(facts.toString().trim().split('\n').sort()).toEqual([
      '. d 2750 5 6 77 ',
      './c c 640 0 0 0 ',
      './f f 4711 1 2 1000 ',
      './h f 4711 1 2 1000 ',
      './l l 777 3 0 0 /etc/passwd',
      './p p 600 0 0 0 ',
    ]);
    expect(getExtendedAttribute(root('home/d/f'), 'user.k')?.toString()).toBe('v');
    expect(lstatSync(root('home/d/h')).ino).toBe(lstatSync(root('home/d/f')).ino);
    expect(readFileSync(root('home/deep/er/f'), 'utf8')).toBe('deep/er/f');
  });

  it('gives everything to the container’s user where it is told to', async () => {
    const owned = async (user: string) => {
      view.user = user;
      await put('/home', [file('f', 'x', { uid: 5, gid: 6 })], { ...keep, copyUidGid: true });
      const { uid, gid } = lstatSync(root('home/f'));
      return [uid, gid];
    };
    expect(await owned('')).toEqual([5, 6]);
    expect(await owned('app')).toEqual([77, 78]);
    expect(await owned('77')).toEqual([77, 78]);
    expect(await owned('1234')).toEqual([1234, 0]);
    expect(await owned('app:team')).toEqual([77, 99]);
    expect(await owned('1:2')).toEqual([1, 2]);
    expect(await words(owned('nobody'))).toBe('unable to find user nobody: no matching entries in passwd file');
  });

  it('replaces what is there, folders by files only where that is allowed', async () => {
    const refuse = { ...keep, noOverwriteDirNonDir: true };
    const directory: TarInput = { name: 'passwd', type: 'directory', mode: 0o755 };
    expect(await words(put('/', [file('home')], refuse))).toBe(
      'cannot overwrite directory "/home" with non-directory "/"',
    );
    expect(await words(put('/etc', [directory], refuse))).toBe(
      'cannot overwrite non-directory "/etc/passwd" with directory "/etc"',
    );
    await put('/', [file('home')]);
    expect(readFileSync(root('home'), 'utf8')).toBe('home');
    await put('/etc', [directory, file('group', 'new')]);
    expect(lstatSync(root('etc/passwd')).isDirectory()).toBe(true);
    expect(readFileSync(root('etc/group'), 'utf8')).toBe('new');
  });

  it('is refused in dockerd’s words', async () => {
    expect(await words(put('/no/such', [file('f')]))).toBe('Could not find the file /no/such in container f1');
    expect(await words(put('/etc/passwd', [file('f')]))).toBe('extraction point is not a directory');
    view.mounts = [
      { containerPath: '/home', hostPath: at('host'), readOnly: true },
      { containerPath: '/opt', hostPath: at('host'), readOnly: false },
    ];
    expect(await words(put('/home', [file('f')]))).toBe('mounted volume is marked read-only');
    expect(await words(put('/', [file('home/f')]))).toBe('mounted volume is marked read-only');
    view.readOnly = true;
    expect(await words(put('/etc', [file('f')]))).toBe('container rootfs is marked read-only');
    await put('/opt', [file('f')]);
    expect(readFileSync(at('host/f'), 'utf8')).toBe('f');
    expect(
      await words(put('/opt', [{ name: 'l', type: 'symlink', mode: 0o777, linkName: '../etc' }, file('l/f')])),
    ).toBe('container rootfs is marked read-only');
  });

  it('has names and links of any bytes, both ways', async () => {
    const odd: TarInput[] = [
      { name: 'd\udcff', type: 'directory', mode: 0o755 },
      file('d\udcff/caf\udce9', 'coffee'),
      { name: 'l\udcff', type: 'symlink', mode: 0o777, linkName: 'd\udcff/caf\udce9' },
      { name: 'h\udcff', type: 'link', mode: 0o644, linkName: 'd\udcff/caf\udce9' },
    ];
    await put('/home', odd);
    expect(readFileSync(fsPath(root('home/d\udcff/caf\udce9')), 'utf8')).toBe('coffee');
    const read: string[] = [];
    for await (const { header } of readTar((await files.getArchive(target, '/home')).archive)) {
      if (header.name.includes('\udcff')) read.push([header.name, header.type, header.linkName].join(' '));
    }
    expect(read).toEqual([
      'home/d\udcff/ directory ',
      'home/d\udcff/caf\udce9 file ',
      'home/h\udcff link home/d\udcff/caf\udce9',
      'home/l\udcff symlink d\udcff/caf\udce9',
    ]);
    const seen = (await files.changes(target)).map(({ Path }) => Path);
    expect(seen).toEqual(expect.arrayContaining(['/home/d\udcff/caf\udce9', '/home/l\udcff', '/home/h\udcff']));
    // A file takes the folder's place, and a folder that of a link.
    await put('/home', [file('d\udcff', 'a file'), { name: 'l\udcff', type: 'directory', mode: 0o755 }]);
    expect(readFileSync(fsPath(root('home/d\udcff')), 'utf8')).toBe('a file');
    expect(lstatSync(fsPath(root('home/l\udcff'))).isDirectory()).toBe(true);
  });

  it('takes compressed archives, and says what is wrong with broken ones', async () => {
    const plain = await buffer(writeTar([file('f')]));
    const send = (content: Buffer) => files.putArchive(target, '/home', Readable.from([content]), keep);
    await send(gzipSync(plain));
    expect(readFileSync(root('home/f'), 'utf8')).toBe('f');
    await send(Buffer.alloc(0));
    rmSync(root('home/f'));
    await send(execFileSync('xz', ['-c'], { input: plain }));
    expect(readFileSync(root('home/f'), 'utf8')).toBe('f');
    expect(await words(send(gzipSync(plain).subarray(0, 60)))).toBe('unexpected EOF');
    expect(await words(send(Buffer.from('BZh9 and something else')))).toBe('bzip2 data invalid');
    expect(await words(send(Buffer.alloc(1024, 'x')))).toContain('invalid tar header');
  });
});

describe('a hostile archive', () => {
  const link = (name: string, linkName: string): TarInput => ({ name, type: 'symlink', mode: 0o777, linkName });

  it.each([
    ['a name that climbs', [file('../../x')], '"../../x" is outside of "/home"'],
    ['a name that climbs later', [file('a/../../x')], '"a/../../x" is outside of "/home"'],
    [
      'a hard link that climbs',
      [{ name: 'h', type: 'link', mode: 0, linkName: '../../host/secret' }],
      'invalid hardlink "/home/h"',
    ],
    ['a hard link to nothing', [{ name: 'h', type: 'link', mode: 0, linkName: 'none' }], 'ENOENT'],
  ] as [string, TarInput[], string][])('with %s is refused', async (_what, entries, text) => {
    expect(await words(put('/home', entries))).toContain(text);
    expect(existsSync(root('x'))).toBe(false);
  });

  it('stays inside of the container', async () => {
    mkdirSync(root(at('host')), { recursive: true });
    await put('/home', [
      file('/absolute', 'a'),
      link('out', '../../../../../../../../tmp'),
      file('out/f', 'b'),
      link('host', at('host')),
      file('host/secret', 'c'),
      link('secret', at('host/secret')),
      file('secret', 'd'),
      link('up', '..'),
      { name: 'same', type: 'link', mode: 0, linkName: 'up/etc/passwd' },
    ]);
    expect(readFileSync(root('home/absolute'), 'utf8')).toBe('a');
    expect(readFileSync(root('tmp/f'), 'utf8')).toBe('b');
    expect(readFileSync(root(at('host/secret')), 'utf8')).toBe('c');
    expect(lstatSync(root('home/secret')).isFile()).toBe(true);
    expect(readlinkSync(root('home/up'))).toBe('..');
    expect(lstatSync(root('home/same')).ino).toBe(lstatSync(root('etc/passwd')).ino);
  });

  it('gets no link followed when it is taken away', async () => {
    mkdirSync(root('home/d'));
    symlinkSync(at('host'), root('home/d/l'));
    await put('/home', [file('d')]);
    expect(existsSync(at('host/secret'))).toBe(true);
  });
});

describe('what changed', () => {
  const changes = async () => (await files.changes(target)).map(({ Path, Kind }) => `${'CAD'[Kind]} ${Path}`);

  it('is nothing at first', async () => {
    expect(await changes()).toEqual([]);
  });

  it('is what was added, changed and deleted', async () => {
    mkdirSync(root('new/sub'), { recursive: true });
    writeFileSync(root('new/sub/f'), '');
    rmSync(root('etc/group'));
    writeFileSync(root('etc/passwd'), 'changed');
    chownSync(root('home'), 1, 1);
    rmSync(root('home/user'), { recursive: true });
    writeFileSync(root('gone'), '');
    rmSync(root('gone'));
    expect(await changes()).toEqual([
      ...['C /etc', 'D /etc/group', 'C /etc/passwd', 'C /home', 'D /home/user', 'A /new', 'A /new/sub', 'A /new/sub/f'],
    ]);
  });

  it('is seen through opaque folders and other types', async () => {
    rmSync(root('opt/old'), { recursive: true });
    mkdirSync(root('opt/old'));
    writeFileSync(root('opt/old/g'), 'new content');
    rmSync(root('home/user'), { recursive: true });
    writeFileSync(root('home/user'), '');
    rmSync(root('etc'), { recursive: true });
    expect(await changes()).toEqual([
      ...['D /etc', 'C /home', 'C /home/user', 'C /opt', 'C /opt/old', 'C /opt/old/g', 'D /opt/old/f', 'D /opt/old/h'],
    ]);
  });

  it('is seen through marks of an unprivileged overlay', async () => {
    mkdirSync(at('upper/opt/old'), { recursive: true });
    setExtendedAttribute(at('upper/opt/old'), 'user.overlay.opaque', Buffer.from('y'));
    expect(await changes()).toContain('D /opt/old/f');
  });
});
