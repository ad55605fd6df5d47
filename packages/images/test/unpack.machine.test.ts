import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fsPath, textOfName } from '@wherry/base';
import { getExtendedAttribute, setExtendedAttribute } from '@wherry/linux';
import { describe, expect, it } from 'vitest';
import type { ImageStore, TarInput } from '../src/index.ts';
import { contentOf, file, folder, fresh, open, stream, tarOf } from './scratch.ts';

const hard = (name: string, linkName: string, more: Partial<TarInput> = {}): TarInput => ({
  name,
  type: 'link',
  mode: 0o644,
  linkName,
  ...more,
});

type Layer = readonly TarInput[] | Buffer;

/** Makes an image of layers and gives the unpacked folders, bottom first. */
async function unpack(store: ImageStore, ...layers: Layer[]): Promise<readonly string[]> {
  const sources = layers.map((layer) => (Buffer.isBuffer(layer) ? { tar: stream(layer) } : { entries: layer }));
  const { id } = await store.createImage({ config: {}, layers: sources });
  return [...(await store.rootfs(id, 'test')).lowerDirectories].reverse();
}

/** How unpacking fails; nothing of it is left. */
async function failure(layers: Layer[], limits?: { bytes: number; entries: number }): Promise<unknown> {
  const directory = fresh();
  let error: string | undefined;
  {
    await using store = await open({ directory, largestLayer: limits });
    error = await unpack(store, ...layers).then(
      () => undefined,
      (failed: Error & { code: string }) => `${failed.code}: ${failed.message}`,
    );
  }
  expect(contentOf(directory)).toEqual([]);
  return error;
}

describe('an unpacked layer', () => {
  it('gets a place of its own on a disk that is ext4', async () => {
    const directory = fresh();
    await using store = await open({ directory });
    await unpack(store, [file('a')]);
    const isExt4 = execFileSync('stat', ['-f', '-c', '%T', directory], { encoding: 'utf8' }).trim() === 'ext2/ext3';
    const flags = isExt4 ? execFileSync('lsattr', ['-d', join(directory, 'layers')], { encoding: 'utf8' }) : '---T---';
    expect(flags.split(' ')[0]).toContain('T');
  });

  it('has times to the nanosecond, and those that dockerd does not take as the epoch', async () => {
    const tar = execFileSync('python3', [
      '-c',
      `import tarfile, sys, io
out = io.BytesIO()
t = tarfile.open(fileobj=out, mode='w', format=tarfile.PAX_FORMAT)
for name, mtime, kind in [('ns', '1600000000.123456789', '0'), ('dir', '1500000000.000000001', '5'), ('dir/in', '1', '0'), ('half', '0.5', '0'), ('before', '-1.5', '0'), ('far', '9999999999.5', '0')]:
    i = tarfile.TarInfo(name)
    i.type = kind.encode()
    i.mode = 0o755
    i.pax_headers = {'mtime': mtime}
    t.addfile(i)
t.close()
sys.stdout.buffer.write(out.getvalue())`,
    ]);
    await using store = await open();
    const [layer] = await unpack(store, tar);
    const time = (name: string): bigint => lstatSync(join(layer!, name), { bigint: true }).mtimeNs;
    expect(['ns', 'dir', 'half', 'before', 'far'].map(time)).toEqual([
      1_600_000_000_123_456_789n,
      1_500_000_000_000_000_001n,
      500_000_000n,
      0n,
      0n,
    ]);
  });

  it('has names and links of any bytes, and gives them back when it is committed', async () => {
    await using store = await open();
    const names = ['caf\udce9', 'é漢😀', '\udcff\udcfe', 'd\udcff/in'];
    const [layer] = await unpack(store, [
      folder('d\udcff'),
      ...names.map((name) => file(name, 'x')),
      { name: 'link', type: 'symlink', mode: 0o777, linkName: 'to\udc80' },
      file('d\udcff/.wh.gone\udcff', ''),
      hard('hard\udcff', 'caf\udce9'),
      { name: 'fifo\udcff', type: 'fifo', mode: 0o600 },
      { ...file('x\udcff'), xattrs: new Map([['user.k', Buffer.from('v')]]) },
    ]);
    for (const name of names) {
      expect(readFileSync(fsPath(join(layer!, name)), 'utf8')).toBe('x');
    }
    const upper = fresh();
    execFileSync('cp', ['-a', layer!, upper]);
    for (const adopt of [false, true]) {
      using committed = (await store.commitLayer({ upper, base: [], adopt }))!;
      const config = { architecture: 'amd64', os: 'linux', author: `${adopt}` };
      const { id } = await store.assemble({ config, layers: [committed] });
      // From its tar and as it was kept: the same.
      for (const again of [false, true]) {
        const [kept] = (await store.rootfs(id, 'test')).lowerDirectories;
        const found = readdirSync(kept!, { encoding: 'buffer' }).map(textOfName);
        expect(found.sort()).toEqual(
          ['caf\udce9', 'd\udcff', 'fifo\udcff', 'hard\udcff', 'link', 'x\udcff', 'é漢😀', '\udcff\udcfe'].sort(),
        );
        expect(textOfName(readlinkSync(join(kept!, 'link'), { encoding: 'buffer' }))).toBe('to\udc80');
        expect(lstatSync(fsPath(join(kept!, 'hard\udcff'))).nlink).toBe(2);
        expect(lstatSync(fsPath(join(kept!, 'd\udcff/gone\udcff'))).isCharacterDevice()).toBe(true);
        expect(getExtendedAttribute(fsPath(join(kept!, 'x\udcff')), 'user.k')?.toString()).toBe('v');
        if (!again) rmSync(join(kept!, '..'), { recursive: true });
      }
    }
  });

  it("has a hard link's owner, mode and time on the file, as dockerd has them", async () => {
    await using store = await open();
    const [layer] = await unpack(store, [
      { ...file('f'), mode: 0o4755, uid: 5, gid: 6, mtime: 100 },
      hard('h', 'f', { mode: 0o600, uid: 1, gid: 2, mtime: 5 }),
      { name: 's', type: 'symlink', mode: 0o777, linkName: 'nowhere', uid: 5 },
      hard('hs', 's', { uid: 3 }),
    ]);
    const { mode, uid, gid, mtimeMs, nlink } = lstatSync(join(layer!, 'f'));
    expect([mode & 0o7777, uid, gid, mtimeMs, nlink]).toEqual([0o600, 1, 2, 5000, 2]);
    expect(lstatSync(join(layer!, 's')).uid).toBe(3);
    expect(readlinkSync(join(layer!, 'hs'))).toBe('nowhere');
  });

  it('has holes where its archive has zeros or none', async () => {
    const place = fresh();
    mkdirSync(place);
    execFileSync('sh', ['-c', 'truncate -s 50M holes && printf end >> holes && truncate -s 20M only'], { cwd: place });
    await using store = await open();
    for (const options of [['--format=gnu', '-S'], ['--format=posix', '-S'], ['--format=gnu']]) {
      const tar = execFileSync('tar', ['-c', ...options, '-C', place, 'holes', 'only'], { maxBuffer: 1e8 });
      const [layer] = await unpack(store, tar);
      const holes = lstatSync(join(layer!, 'holes'));
      expect(holes.size).toBe(50 * 2 ** 20 + 3);
      expect(holes.blocks * 512).toBeLessThan(2 ** 20);
      expect(lstatSync(join(layer!, 'only'))).toMatchObject({ size: 20 * 2 ** 20 });
      expect(lstatSync(join(layer!, 'only')).blocks).toBeLessThan(100);
      expect(readFileSync(join(layer!, 'holes')).subarray(-4).toString()).toBe('\0end');
    }
  });

  it('has access lists, and says which attribute the file system does not take', async () => {
    // What setfacl makes of u::rw-,u:7:r--,g::r--,m::r--,o::---
    const list = Buffer.from(
      '0200000001000600ffffffff020004000700000004000400ffffffff10000400ffffffff20000000ffffffff',
      'hex',
    );
    await using store = await open();
    const xattrs = new Map([
      ['system.posix_acl_access', list],
      ['trusted.overlay.opaque', Buffer.from('y')],
      ['system.other', Buffer.from('x')],
    ]);
    const [layer] = await unpack(store, [{ ...file('f'), xattrs }]);
    expect(getExtendedAttribute(join(layer!, 'f'), 'system.posix_acl_access')?.equals(list)).toBe(true);
    expect(getExtendedAttribute(join(layer!, 'f'), 'trusted.overlay.opaque')).toBeUndefined();
    const large = { ...file('f'), xattrs: new Map([['user.large', Buffer.alloc(100_000)]]) };
    expect(await failure([[large]])).toBe('corrupt: the attribute user.large of f cannot be kept');
  });
});

describe('a hard link to a file of a lower layer', () => {
  const lower: TarInput[] = [
    folder('d'),
    { ...file('d/f', 'content'), mode: 0o4755, uid: 3_000_000, xattrs: new Map([['user.k', Buffer.from('v')]]) },
    { name: 'd/s', type: 'symlink', mode: 0o777, linkName: 'f', uid: 4 },
    { name: 'd/n', type: 'character', mode: 0o666, major: 1, minor: 3 },
    folder('lnk'),
  ];

  it('copies the file up, as link(2) does in a container', async () => {
    await using store = await open();
    const [, top] = await unpack(store, lower, [
      hard('new', 'd/f', { mode: 0o4755, uid: 3_000_000 }),
      hard('s', 'd/s', { uid: 4 }),
      hard('n', 'd/n', { mode: 0o666 }),
    ]);
    const at = (name: string) => lstatSync(join(top!, name));
    expect(readFileSync(join(top!, 'd/f'), 'utf8')).toBe('content');
    expect([at('new').ino, at('new').mode & 0o7777, at('new').uid]).toEqual([at('d/f').ino, 0o4755, 3_000_000]);
    expect(getExtendedAttribute(join(top!, 'new'), 'user.k')?.toString()).toBe('v');
    expect([readlinkSync(join(top!, 's')), at('d/s').ino]).toEqual(['f', at('s').ino]);
    expect([at('n').rdev, at('d/n').nlink]).toEqual([0x103, 2]);
    expect(readdirSync(join(top!, 'd')).sort()).toEqual(['f', 'n', 's']);
  });

  it('counts what it copies', async () => {
    const large = [file('large', Buffer.alloc(60_000, 'x'))];
    expect(await failure([large, [hard('a', 'large')]], { bytes: 59_000, entries: 100 })).toContain('tooLarge');
    const many = Array.from({ length: 3 }, (_, n) => [file(`large${n}`, Buffer.alloc(40_000, 'x'))]);
    const links = [hard('a', 'large0'), hard('b', 'large1'), hard('c', 'large2'), file('z')];
    expect(await failure([...many, links], { bytes: 100_000, entries: 100 })).toContain('tooLarge');
  });

  it.each([
    ['removed here', [file('d/.wh.f', ''), hard('new', 'd/f')]],
    ['hidden by an opaque folder', [folder('d'), file('d/.wh..wh..opq', ''), hard('new', 'd/f')]],
    ['a folder', [hard('new', 'lnk')]],
    ['nowhere', [hard('new', 'd/none')]],
    ['outside', [hard('new', '../../etc/passwd')]],
    ['the root', [hard('new', '/')]],
  ])('that is %s is refused', async (_, top) => {
    expect(await failure([lower, top])).toMatch(/^corrupt: /);
  });
});

describe('a hostile layer', () => {
  it.each([
    ['climbs', [file('a/../../x')], /the archive has the path/],
    ['is deeper than can be removed', [file(`${'d/'.repeat(1500)}f`)], /the archive has the path/],
    ['has a path that is too long', [file('x'.repeat(5000))], /the archive has the path/],
    ['has a name that is too long', [file('x'.repeat(300))], /longer than the file system takes/],
    ['goes through a file', [file('f'), file('f/x')], /not a folder/],
    [
      'goes through a device',
      [{ name: 'n', type: 'character', mode: 0o666, major: 1, minor: 3 }, file('n/x')],
      /not a folder/,
    ],
    [
      'goes through links in circles',
      [
        { name: 'a', type: 'symlink', mode: 0o777, linkName: 'b' },
        { name: 'b', type: 'symlink', mode: 0o777, linkName: 'a' },
        file('a/x'),
      ],
      /too many links/,
    ],
    ['replaces its root', [{ name: '/', type: 'symlink', mode: 0o777, linkName: '/etc' }], /replaces its root/],
    ['hides what is above it', [file('.wh...', '')], /the whiteout/],
    ['has an owner that cannot be', [{ ...file('f'), uid: 2 ** 32 }], /invalid owner/],
  ] as const)('that %s is refused', async (_, entries, words) => {
    expect(await failure([entries])).toMatch(words);
  });

  it('is bounded in the folders that its names imply', async () => {
    const deep = Array.from({ length: 40 }, (_, n) => file(`${n}/${'d/'.repeat(50)}f`));
    expect(await failure([deep], { bytes: 1e6, entries: 1000 })).toMatch(/^tooLarge: .* 1000 files$/);
  });

  it('may replace folders that it has used', async () => {
    await using store = await open();
    const folders = [file('a/b/f'), file('a/c/f'), file('a', 'a file'), folder('a'), file('a/c/f', 'again')];
    const [layer] = await unpack(store, folders);
    expect(readdirSync(join(layer!, 'a'))).toEqual(['c']);
    expect(readFileSync(join(layer!, 'a/c/f'), 'utf8')).toBe('again');
    expect(await failure([[file('a/b/f'), file('a', 'a file'), file('a/b/f')]])).toMatch(/not a folder/);
  });

  it('writes through no link, whichever layer has it, and keeps names that differ in case apart', async () => {
    const outside = fresh();
    mkdirSync(outside);
    writeFileSync(join(outside, 'f'), 'safe');
    await using store = await open();
    const evil: TarInput = { name: 'evil', type: 'symlink', mode: 0o777, linkName: join(outside, 'f') };
    const [, , top] = await unpack(store, [evil], [file('evil', 'hit')], [file('Evil', 'E'), hard('EVIL', 'Evil')]);
    expect(readFileSync(join(outside, 'f'), 'utf8')).toBe('safe');
    expect(readdirSync(top!).sort()).toEqual(['EVIL', 'Evil']);
    expect(existsSync(join(outside, 'Evil'))).toBe(false);
  });

  it('does not unpack to more than is declared, whatever its compression', async () => {
    const bomb = await tarOf([file('zeros', Buffer.alloc(30_000_000))]);
    const place = fresh();
    mkdirSync(place);
    const sparse = execFileSync('sh', ['-c', 'truncate -s 1T big && tar -cS big && rm big'], { cwd: place });
    expect(sparse.length).toBeLessThan(100_000);
    for (const layer of [
      bomb,
      execFileSync('zstd', ['-c', '-q'], { input: bomb }),
      execFileSync('xz', ['-c'], { input: bomb }),
      sparse,
    ]) {
      expect(await failure([layer], { bytes: 10_000_000, entries: 100 })).toMatch(/^tooLarge: /);
    }
    // Nothing but zeros behind the end of the archive.
    const tail = Buffer.concat([await tarOf([file('f')]), Buffer.alloc(40_000_000)]);
    expect(await failure([tail], { bytes: 10_000_000, entries: 100 })).toMatch(/^tooLarge: /);
  });
});

it('keeps attributes of the kernel to itself when it copies up', async () => {
  await using store = await open();
  const [lower] = await unpack(store, [file('f')]);
  setExtendedAttribute(join(lower!, 'f'), 'trusted.overlay.origin', Buffer.from('x'));
  const [, top] = await unpack(store, [file('f')], [hard('h', 'f')]);
  expect(getExtendedAttribute(join(top!, 'h'), 'trusted.overlay.origin')).toBeUndefined();
});
