import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { digestOf } from '@wherry/oci';
import { describe, expect, it } from 'vitest';
import type { ImageStore, TarInput } from '../src/index.ts';
import { file, folder, fresh, open, stream, tarOf } from './scratch.ts';

/** Makes an image of layers and gives the unpacked folders, topmost first. */
async function layersOf(store: ImageStore, ...layers: (readonly TarInput[])[]): Promise<readonly string[]> {
  const { id } = await store.createImage({ config: {}, layers: layers.map((entries) => ({ entries })) });
  return (await store.rootfs(id, 'test')).lowerDirectories;
}

/** What `docker save` writes. */
async function dockerArchive(
  layers: readonly Buffer[],
  tags: readonly string[],
  change = (blob: Buffer) => blob,
): Promise<{ archive: Buffer; id: string }> {
  const config = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      config: { Env: ['A=b'], Cmd: ['/hello'], User: '7' },
      rootfs: { type: 'layers', diff_ids: layers.map(digestOf) },
    }),
  );
  const manifest = [{ Config: 'config.json', RepoTags: tags, Layers: layers.map((_, n) => `${n}/layer.tar`) }];
  const archive = await tarOf([
    ...layers.map(
      (layer, n): TarInput => ({ name: `${n}/layer.tar`, type: 'file', mode: 0o644, content: change(layer) }),
    ),
    { name: 'config.json', type: 'file', mode: 0o644, content: config },
    { name: 'manifest.json', type: 'file', mode: 0o644, content: Buffer.from(JSON.stringify(manifest)) },
  ]);
  return { archive, id: digestOf(config) };
}

describe('unpacked layers', () => {
  it('have files of the group and mode of the archive, whatever their folder hands on', async () => {
    await using store = await open();
    const modes = [0o644, 0o755, 0o600, 0o666, 0o777, 0o2755, 0];
    const files = (parent: string) => modes.map((mode, n) => ({ ...file(`${parent}/f${n}`), mode, uid: 0, gid: 0 }));
    const below = [{ ...folder('implied', 0o2775), gid: 8 }];
    const [upper, , lower] = (await layersOf(
      store,
      [...files('plain'), { ...folder('team', 0o2775), gid: 7 }, ...files('team')],
      below,
      files('implied'),
    )) as [string, string, string];
    for (const [layer, parent] of [
      [lower, 'plain'],
      [lower, 'team'],
      [upper, 'implied'],
    ] as const) {
      const found = modes.map((_, n) => lstatSync(join(layer, parent, `f${n}`)));
      expect(found.map(({ mode }) => mode & 0o7777)).toEqual(modes);
      expect(new Set(found.map(({ uid, gid }) => `${uid}:${gid}`))).toEqual(new Set(['0:0']));
    }
    expect(lstatSync(join(upper, 'implied'))).toMatchObject({ gid: 8, mode: 0o42775 });
  });

  it('have owners, modes, times, links and devices of the archive', async () => {
    await using store = await open();
    const [layer] = await layersOf(store, [
      { ...folder('a', 0o1777), uid: 5, gid: 6, mtime: 1_000_000 },
      { ...file('a/suid'), mode: 0o4755, uid: 3_000_000, gid: 4_000_000_000, mtime: 1_600_000_000.25 },
      {
        name: 'a/hard',
        type: 'link',
        mode: 0o4755,
        linkName: 'a/suid',
        uid: 3_000_000,
        gid: 4_000_000_000,
        mtime: 1_600_000_000.25,
      },
      { name: 'a/soft', type: 'symlink', mode: 0o777, uid: 8, linkName: '/etc/passwd', mtime: 77 },
      { name: 'null', type: 'character', mode: 0o666, major: 1, minor: 3 },
      { name: 'fifo', type: 'fifo', mode: 0o622 },
      {
        ...file('attr'),
        xattrs: new Map([
          ['user.k', Buffer.from('v')],
          ['trusted.overlay.opaque', Buffer.from('y')],
        ]),
      },
      { name: 'large', type: 'file', mode: 0o600, content: Buffer.alloc(3_000_000, 'large') },
    ]);
    const at = (path: string) => lstatSync(join(layer!, path));
    expect([at('a').mode & 0o7777, at('a').uid, at('a').gid, at('a').mtimeMs]).toEqual([0o1777, 5, 6, 1e9]);
    expect([at('a/suid').mode & 0o7777, at('a/suid').uid, at('a/suid').gid]).toEqual([
      0o4755, 3_000_000, 4_000_000_000,
    ]);
    expect(at('a/suid').mtimeMs).toBe(1_600_000_000_250);
    expect(at('a/hard').ino).toBe(at('a/suid').ino);
    expect([readlinkSync(join(layer!, 'a/soft')), at('a/soft').uid, at('a/soft').mtimeMs]).toEqual([
      '/etc/passwd',
      8,
      77_000,
    ]);
    expect([at('null').isCharacterDevice(), at('null').rdev, at('null').mode & 0o777]).toEqual([true, 0x103, 0o666]);
    expect([at('fifo').isFIFO(), at('fifo').mode & 0o777]).toEqual([true, 0o622]);
    expect(readFileSync(join(layer!, 'large')).equals(Buffer.alloc(3_000_000, 'large'))).toBe(true);
    const attributes = execFileSync('python3', [
      '-c',
      'import os,sys; print(os.listxattr(sys.argv[1]))',
      join(layer!, 'attr'),
    ]);
    expect(attributes.toString().trim()).toBe("['user.k']");
  });

  it('stack up under overlayfs as the image says', async () => {
    await using store = await open();
    const lower = await layersOf(
      store,
      [
        folder('keep', 0o1777),
        file('keep/a'),
        file('keep/b'),
        folder('gone'),
        file('gone/x'),
        folder('opaque'),
        file('opaque/old'),
        file('replaced', 'old'),
      ],
      [
        file('keep/.wh.a', ''),
        file('.wh.gone', ''),
        file('opaque/.wh..wh..opq', ''),
        file('opaque/new'),
        file('replaced', 'new'),
      ],
      [file('keep/c'), folder('gone'), file('gone/y')],
    );
    const mount = fresh();
    mkdirSync(mount);
    // In a mount namespace of its own, which ends with the command.
    const script =
      'mount -t overlay -o "lowerdir=$1" none "$2" && cd "$2" && find . | sort && stat -c %a keep && cat replaced';
    const shown = execFileSync('unshare', [
      '--mount',
      '--propagation',
      'private',
      'sh',
      '-c',
      script,
      'sh',
      lower.join(':'),
      mount,
    ]);
    expect(shown.toString().trim().split('\n')).toEqual([
      '.',
      './gone',
      './gone/y',
      './keep',
      './keep/b',
      './keep/c',
      './opaque',
      './opaque/new',
      './replaced',
      '1777',
      'new',
    ]);
  });

  it('never leave their folder', async () => {
    await using store = await open();
    const outside = fresh();
    mkdirSync(outside);
    writeFileSync(join(outside, 'victim'), 'safe');
    const link = (name: string, linkName: string): TarInput => ({ name, type: 'symlink', mode: 0o777, linkName });
    // Links to folders are followed inside the layer, as chroot would.
    const [contained] = await layersOf(store, [
      link('evil', outside),
      file('evil/victim', 'hit'),
      link('up', '../../../..'),
      file('up/x'),
    ]);
    expect(readFileSync(join(contained!, outside, 'victim'), 'utf8')).toBe('hit');
    expect(existsSync(join(contained!, 'x'))).toBe(true);
    // A link in a lower layer too.
    const [top] = await layersOf(store, [link('evil', outside)], [file('evil/victim', 'hit')]);
    expect(readFileSync(join(top!, outside, 'victim'), 'utf8')).toBe('hit');
    // A file takes the place of a link and is not written through it.
    const [replaced] = await layersOf(store, [link('f', join(outside, 'victim')), file('f', 'hit')]);
    expect(lstatSync(join(replaced!, 'f')).isFile()).toBe(true);
    const [absolute] = await layersOf(store, [file('/abs/file')]);
    expect(existsSync(join(absolute!, 'abs/file'))).toBe(true);
    for (const hostile of [
      [file('../victim')],
      [file('a/../../victim')],
      [{ name: 'h', type: 'link', mode: 0, linkName: '../../victim' } as const],
      [{ name: 'h', type: 'link', mode: 0, linkName: join(outside, 'victim') } as const],
      [link('a', 'b'), link('b', 'a'), file('a/x')],
      [file('f'), file('f/x')],
      [file('d/.wh...', '')],
      [file('.wh.', '')],
    ]) {
      await expect(layersOf(store, hostile)).rejects.toMatchObject({ code: 'corrupt' });
    }
    expect(readdirSync(outside)).toEqual(['victim']);
    expect(readFileSync(join(outside, 'victim'), 'utf8')).toBe('safe');
  });

  it('leave the times of what a folder became a link to', async () => {
    await using store = await open();
    const outside = fresh();
    mkdirSync(join(outside, 'etc'), { recursive: true });
    const before = statSync(join(outside, 'etc')).mtimeMs;
    await layersOf(store, [
      folder('a'),
      { ...folder('a/etc'), mtime: 12 },
      { name: 'a', type: 'symlink', mode: 0o777, linkName: outside },
    ]);
    expect(statSync(join(outside, 'etc')).mtimeMs).toBe(before);
  });

  it('are bounded, and leave nothing when they fail', async () => {
    const directory = fresh();
    await using store = await open({
      directory,
      largestLayer: { bytes: 1000, entries: 5 },
    });
    await expect(layersOf(store, [file('a', 'x'.repeat(1001))])).rejects.toMatchObject({ code: 'tooLarge' });
    await expect(
      layersOf(
        store,
        ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => file(name)),
      ),
    ).rejects.toMatchObject({ code: 'tooLarge' });
    await store.collectGarbage();
    expect(readdirSync(join(directory, 'layers'))).toEqual([]);
    expect(readdirSync(join(directory, 'blobs/sha256'))).toEqual([]);
    expect(readdirSync(join(directory, 'ingest'))).toEqual([]);
  });
});

describe('the image store', () => {
  it('loads docker archives, plain and compressed, and knows images by every name', async () => {
    await using store = await open();
    const layer = await tarOf([file('hello')]);
    const { archive, id } = await dockerArchive([layer], ['busybox:1.35', 'localhost:1/x:y']);
    for (const content of [archive, gzipSync(archive)]) {
      expect(await store.load(stream(content))).toEqual([
        { id, names: ['docker.io/library/busybox:1.35', 'localhost:1/x:y'] },
      ]);
    }
    const status = await store.imageStatus('busybox:1.35');
    expect(status).toMatchObject({
      id,
      repoTags: ['docker.io/library/busybox:1.35', 'localhost:1/x:y'],
      repoDigests: [],
      user: '7',
    });
    for (const reference of ['docker.io/library/busybox:1.35', id, id.slice(7), id.slice(7, 19), 'localhost:1/x:y']) {
      expect((await store.imageStatus(reference))?.id).toBe(id);
    }
    for (const reference of ['busybox', 'busybox:1', `sha256:${'0'.repeat(64)}`, 'abcdef']) {
      expect(await store.imageStatus(reference)).toBeUndefined();
    }
    await expect(store.imageStatus('Not A Name')).rejects.toMatchObject({ code: 'invalid' });
    expect(await store.listImages()).toHaveLength(1);
    const rootfs = await store.rootfs(id, 'owner');
    expect(rootfs.config.config?.Env).toEqual(['A=b']);
    expect(readFileSync(join(rootfs.lowerDirectories[0]!, 'hello'), 'utf8')).toBe('hello');
  });

  it('loads OCI layouts, as folders and as archives', async () => {
    const layout = fresh();
    const blob = (content: Buffer): { digest: string; size: number } => {
      const digest = digestOf(content);
      mkdirSync(join(layout, 'blobs/sha256'), { recursive: true });
      writeFileSync(join(layout, 'blobs/sha256', digest.slice(7)), content);
      return { digest, size: content.length };
    };
    const layer = await tarOf([file('hello')]);
    const config = blob(
      Buffer.from(
        JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [digestOf(layer)] } }),
      ),
    );
    const manifest = blob(
      Buffer.from(
        JSON.stringify({
          schemaVersion: 2,
          config: { ...config, mediaType: 'c' },
          layers: [{ ...blob(gzipSync(layer)), mediaType: 'l' }],
        }),
      ),
    );
    const annotations = { 'org.opencontainers.image.ref.name': 'example.com/a:b' };
    writeFileSync(
      join(layout, 'index.json'),
      JSON.stringify({
        schemaVersion: 2,
        manifests: [{ ...manifest, mediaType: 'application/vnd.oci.image.manifest.v1+json', annotations }],
      }),
    );
    writeFileSync(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
    const archive = execFileSync('tar', ['-cf', '-', '-C', layout, '.'], { maxBuffer: 1e8 });
    for (const source of [layout, stream(archive)]) {
      await using store = await open();
      expect(await store.load(source)).toEqual([{ id: config.digest, names: ['example.com/a:b'] }]);
      expect(existsSync(join((await store.rootfs('example.com/a:b', 'o')).lowerDirectories[0]!, 'hello'))).toBe(true);
    }
  });

  it('refuses archives that are broken or say what is not so', async () => {
    const directory = fresh();
    await using store = await open({ directory });
    const layer = await tarOf([file('hello'), file('other', 'x'.repeat(5000))]);
    const { archive } = await dockerArchive([layer], ['a:1']);
    const { archive: lying } = await dockerArchive([layer], ['a:1'], (blob) =>
      Buffer.concat([blob, Buffer.alloc(512)]),
    );
    const garbage = Buffer.concat([gzipSync(archive).subarray(0, 500), Buffer.alloc(2000, 'z')]);
    for (const broken of [
      archive.subarray(0, 3000),
      lying,
      garbage,
      Buffer.alloc(4096, 'q'),
      await tarOf([file('x')]),
    ]) {
      await expect(store.load(stream(broken))).rejects.toMatchObject({ code: 'corrupt' });
    }
    expect(await store.listImages()).toEqual([]);
    await store.collectGarbage();
    expect(readdirSync(join(directory, 'ingest'))).toEqual([]);
    expect(readdirSync(join(directory, 'layers'))).toEqual([]);
  });

  it('has everything when it is opened again, and sweeps what a crash left', async () => {
    const directory = fresh();
    const { archive, id } = await dockerArchive([await tarOf([file('hello')])], ['a:1']);
    {
      await using store = await open({ directory });
      await store.load(stream(archive));
    }
    writeFileSync(join(directory, 'ingest/left'), 'half');
    mkdirSync(join(directory, 'layers/.unpack-left/fs'), { recursive: true });
    await using store = await open({ directory });
    expect((await store.imageStatus('a:1'))?.id).toBe(id);
    expect(existsSync(join(directory, 'ingest/left'))).toBe(false);
    expect(existsSync(join(directory, 'layers/.unpack-left'))).toBe(false);
    // A layer that went missing is unpacked again.
    const { lowerDirectories } = await store.rootfs('a:1', 'o');
    rmSync(join(lowerDirectories[0]!, '..'), { recursive: true });
    await store.rootfs('a:1', 'o');
    expect(existsSync(join(lowerDirectories[0]!, 'hello'))).toBe(true);
  });

  it('keeps what is held and collects what nobody needs', async () => {
    const directory = fresh();
    const shared = [file('shared')];
    await using store = await open({ directory });
    await store.createImage({
      config: {},
      layers: [{ entries: shared }, { entries: [file('one')] }],
      references: ['one:1', 'one:2'],
    });
    await store.createImage({
      config: {},
      layers: [{ entries: shared }, { entries: [file('two')] }],
      references: ['two'],
    });
    const layers = (): number => readdirSync(join(directory, 'layers')).length;
    const blobs = (): number => readdirSync(join(directory, 'blobs/sha256')).length;
    expect([layers(), blobs()]).toEqual([3, 7]);
    const held = await store.rootfs('one:1', 'container');
    await store.removeImage('one:1');
    expect((await store.imageStatus('one:2'))?.repoTags).toEqual(['docker.io/library/one:2']);
    await store.removeImage('one:2');
    await store.removeImage('one:2');
    expect(await store.imageStatus('one:2')).toBeUndefined();
    expect(existsSync(join(held.lowerDirectories[0]!, 'one'))).toBe(true);
    {
      // The hold outlives the process.
      await using again = await open({ directory });
      await again.collectGarbage();
      expect([layers(), blobs()]).toEqual([3, 7]);
      await again.release('container');
      await again.release('container');
      expect([layers(), blobs()]).toEqual([2, 4]);
      await again.removeImage('two');
      expect([layers(), blobs()]).toEqual([0, 0]);
      expect(await again.imageFsInfo()).toEqual({ mountpoint: directory, usedBytes: 0, inodesUsed: 0 });
    }
  });

  it('collects a layer whose blob is another layer of another image', async () => {
    const directory = fresh();
    await using store = await open({ directory });
    const [a, b] = [[file('a')], [file('b')]];
    await store.createImage({ config: {}, layers: [{ entries: b }], references: ['alone'] });
    await store.createImage({ config: {}, layers: [{ entries: a }, { entries: b }], references: ['above'] });
    const layers = (): number => readdirSync(join(directory, 'layers')).length;
    expect(layers()).toBe(3);
    await store.removeImage('alone');
    expect(layers()).toBe(2);
    await store.removeImage('above');
    expect([layers(), readdirSync(join(directory, 'blobs/sha256')).length]).toEqual([0, 0]);
  });

  it('makes the same image of the same tree', async () => {
    const tree = fresh();
    mkdirSync(join(tree, 'b/c'), { recursive: true });
    writeFileSync(join(tree, 'b/c/f'), 'f');
    const ids = new Set<string>();
    for (const compression of ['none', 'none', 'gzip'] as const) {
      await using store = await open();
      const created = new Date(1000).toISOString();
      const { id } = await store.createImage({
        config: { created },
        layers: [{ folder: tree }],
        compression,
        references: ['t'],
      });
      ids.add(id);
      expect(statSync(join((await store.rootfs('t', 'o')).lowerDirectories[0]!, 'b/c/f')).mtimeMs).toBe(1000);
    }
    expect(ids.size).toBe(1);
  });

  it('tags, and imports a root file system', async () => {
    await using store = await open();
    const { id } = await store.importImage(stream(gzipSync(await tarOf([file('etc/x')]))), {
      config: { config: { Cmd: ['sh'] } },
      references: ['imported'],
    });
    await store.tag('imported', 'other:2');
    expect((await store.inspect('other:2')).image.id).toBe(id);
    expect((await store.inspect('other:2')).config.config?.Cmd).toEqual(['sh']);
    await expect(store.tag('nosuch', 'x')).rejects.toMatchObject({ code: 'notFound' });
    await expect(store.rootfs('nosuch', 'o')).rejects.toMatchObject({ code: 'notFound' });
    await expect(store.rootfs('imported', '../x')).rejects.toMatchObject({ code: 'invalid' });
  });

  it('runs an image without layers on an empty folder', async () => {
    await using store = await open();
    await store.createImage({ config: {}, layers: [], references: ['scratch'] });
    const { lowerDirectories } = await store.rootfs('scratch', 'o');
    expect(readdirSync(lowerDirectories[0]!)).toEqual([]);
  });
});
