import { execFileSync } from 'node:child_process';
import {
  createReadStream,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { getExtendedAttribute, listExtendedAttributes, makeNode, setExtendedAttribute } from '@wherry/linux';
import { describe, expect, it } from 'vitest';
import type { ImageStore, LayerRecord, TarInput } from '../src/index.ts';
import { file, folder, fresh, mounts, open } from './scratch.ts';

async function base(store: ImageStore, ...entries: TarInput[]): Promise<readonly LayerRecord[]> {
  const { id } = await store.createImage({ config: {}, layers: [{ entries }], references: ['base:1'] });
  return (await store.inspect(id)).image.layers;
}

/** Mounts layers with a fresh upper folder, lets `change` work on the merged view, and gives the upper folder. */
async function changed(
  store: ImageStore,
  layers: readonly LayerRecord[],
  change: (merged: string) => void,
): Promise<string> {
  const place = fresh();
  for (const name of ['upper', 'work', 'merged']) mkdirSync(join(place, name), { recursive: true });
  const lower = await store.holdLayers('test', layers);
  const merged = join(place, 'merged');
  const data = `lowerdir=${lower.join(':')},upperdir=${join(place, 'upper')},workdir=${join(place, 'work')}`;
  execFileSync('mount', ['-t', 'overlay', '-o', data, 'overlay', merged]);
  change(merged);
  execFileSync('umount', [merged]);
  return join(place, 'upper');
}

async function view(store: ImageStore, layers: readonly LayerRecord[]): Promise<string> {
  const merged = fresh();
  mkdirSync(merged);
  const lower = await store.holdLayers('view', layers);
  execFileSync('mount', ['-t', 'overlay', '-o', `lowerdir=${[...lower, merged].join(':')}`, 'overlay', merged]);
  mounts.push(merged);
  return merged;
}

const sh = (script: string, cwd: string): string =>
  execFileSync('sh', ['-euc', script], { cwd, stdio: ['ignore', 'pipe', 'inherit'] }).toString();

describe('a committed layer', () => {
  it('stacks up to what the container saw, whether adopted, copied or unpacked from its tar', async () => {
    await using store = await open();
    const layers = await base(store, folder('etc'), file('etc/gone'), file('etc/kept'), folder('dir'), file('dir/old'));
    const script = `
      rm etc/gone; echo new > etc/new; ln etc/new etc/hard; ln -s new etc/soft
      rm -r dir; mkdir dir; echo x > dir/fresh; chmod 1777 dir
      mknod null c 1 3; mknod disk b 259 70000; mkfifo fifo
      echo cap > cap; chown 3000000:4000000000 etc/new; chmod 4755 etc/new
      dd if=/dev/urandom of=large bs=1M count=3 status=none`;
    const change = (merged: string): void => {
      sh(script, merged);
      setExtendedAttribute(
        join(merged, 'cap'),
        'security.capability',
        Buffer.from('0100000200040000000000000000000000000000', 'hex'),
      );
      setExtendedAttribute(join(merged, 'cap'), 'user.note', Buffer.from('n'));
      truncateSync(join(merged, 'large'), 128 * 2 ** 20);
    };
    const upper = await changed(store, layers, change);
    const look = (merged: string): unknown => {
      const facts = sh(
        'find . -mindepth 1 ! -name large -printf "%p %y %m %U %G %n %l %s\\n" | grep -v "^./\\(etc\\|dir\\) " | sort',
        merged,
      );
      const hash = sh('head -c 3145728 large | sha256sum; stat -c %s large', merged);
      const cap = listExtendedAttributes(join(merged, 'cap'))
        .sort()
        .map((name) => [name, getExtendedAttribute(join(merged, 'cap'), name)?.toString('hex')]);
      const devices = [lstatSync(join(merged, 'null')).rdev, lstatSync(join(merged, 'disk')).rdev];
      return { facts, hash, cap, devices };
    };
    using copied = (await store.commitLayer({ upper, base: layers }))!;
    expect(existsSync(join(upper, 'large'))).toBe(true);
    const [seen, folderOfCopy] = [
      look(await view(store, [...layers, copied])),
      (await store.holdLayers('c', [...layers, copied]))[0]!,
    ];
    expect(statSync(join(folderOfCopy, 'large')).blocks * 512).toBeLessThan(16 * 2 ** 20);
    expect(seen).toMatchObject({ facts: expect.stringContaining('./dir/fresh f') });
    expect((seen as { facts: string }).facts).not.toContain('gone');
    expect((seen as { facts: string }).facts).not.toContain('old');
    expect((seen as { cap: string[][] }).cap.map(([name]) => name)).toEqual(['security.capability', 'user.note']);

    // The same changes taken over by renaming, in a store of its own.
    await using other = await open();
    const again = await base(other, folder('etc'), file('etc/gone'), file('etc/kept'), folder('dir'), file('dir/old'));
    using adopted = (await other.commitLayer({ upper, base: again, adopt: true }))!;
    expect(existsSync(upper)).toBe(false);
    expect(adopted).toMatchObject({ digest: copied.digest, chainId: copied.chainId, size: copied.size });
    expect(look(await view(other, [...again, adopted]))).toEqual(seen);

    // And its tar, unpacked by a third.
    await using third = await open();
    const blob = join((await store.imageFsInfo()).mountpoint, 'blobs/sha256', copied.digest.slice(7));
    const imported = await third.createImage({
      config: {},
      layers: [
        { entries: [folder('etc'), file('etc/gone'), file('etc/kept'), folder('dir'), file('dir/old')] },
        { tar: createReadStream(blob) },
      ],
    });
    const unpacked = (await third.inspect(imported.id)).image.layers;
    expect(unpacked[1]!.chainId).toBe(copied.chainId);
    expect(look(await view(third, unpacked))).toEqual(seen);
  });

  it('is the same for the same content and timestamp, and later times are clamped in both forms', async () => {
    const timestamp = 1_500_000_000_000;
    const digests: string[] = [];
    for (const adopt of [false, true]) {
      await using store = await open();
      const layers = await base(store, file('a'));
      const upper = await changed(store, layers, (merged) => {
        sh('mkdir d; echo 1 > d/1; touch -d @1400000000 d/early; ln -s x link', merged);
      });
      using layer = (await store.commitLayer({ upper, base: layers, adopt, timestamp }))!;
      digests.push(layer.digest);
      const [kept] = await store.holdLayers('h', [...layers, layer]);
      const times = ['d', 'd/1', 'd/early', 'link'].map((path) =>
        Math.floor(lstatSync(join(kept!, path)).mtimeMs / 1000),
      );
      expect(times).toEqual([1_500_000_000, 1_500_000_000, 1_400_000_000, 1_500_000_000]);
    }
    expect(digests[0]).toBe(digests[1]);
  });

  it('is none when nothing changed', async () => {
    await using store = await open();
    const layers = await base(store, file('a'));
    const upper = await changed(store, layers, (merged) => readFileSync(join(merged, 'a')));
    expect(await store.commitLayer({ upper, base: layers })).toBeUndefined();
  });

  it('stays while it is pinned and becomes an image that runs', async () => {
    const directory = fresh();
    await using store = await open({ directory });
    const layers = await base(store, file('a'));
    const parent = (await store.find('base:1'))!;
    const upper = await changed(store, layers, (merged) => writeFileSync(join(merged, 'b'), 'b'));
    const layer = (await store.commitLayer({ upper, base: layers, adopt: true }))!;
    await store.collectGarbage();
    const config = {
      architecture: 'amd64',
      os: 'linux',
      created: '2024-01-02T03:04:05Z',
      config: { Labels: { k: 'v' } },
    };
    const image = await store.assemble({
      config,
      layers: [...layers, layer],
      parent: parent.id,
      references: ['made:1'],
    });
    layer[Symbol.dispose]();
    await store.collectGarbage();
    const { lowerDirectories } = await store.rootfs('made:1', 'container');
    expect(lowerDirectories.map((path) => existsSync(join(path, 'b')))).toEqual([true, false]);
    await expect(store.details('made')).rejects.toMatchObject({
      code: 'notFound',
      message: 'No such image: made:latest',
    });
    const details = await store.details('made:1');
    expect(details).toMatchObject({
      id: image.id,
      parent: parent.id,
      names: ['docker.io/library/made:1'],
      createdAt: Date.parse('2024-01-02T03:04:05Z'),
      labels: { k: 'v' },
      sizeBytes: 2,
      layerBytes: [1, 1],
      folders: lowerDirectories,
    });
    // It is still so after a restart.
    await using reopened = await open({ directory });
    expect(await reopened.details('made:1')).toEqual(details);
  });

  it('is given up and leaves nothing when it is too large or the caller gives up', async () => {
    const directory = fresh();
    await using store = await open({ directory, largestLayer: { bytes: 1000, entries: 100 } });
    const layers = await base(store, file('a'));
    const upper = await changed(store, layers, (merged) => writeFileSync(join(merged, 'b'), Buffer.alloc(2000)));
    await expect(store.commitLayer({ upper, base: layers })).rejects.toMatchObject({ code: 'tooLarge' });
    const signal = AbortSignal.abort();
    await expect(store.commitLayer({ upper, base: layers, signal })).rejects.toMatchObject({ code: 'cancelled' });
    expect(sh('ls ingest; ls -A layers | grep unpack || true', directory)).toBe('');
  });

  it('never follows a link out of the folder', async () => {
    await using store = await open();
    const upper = fresh();
    mkdirSync(upper);
    sh('ln -s /etc out; mkdir in', upper);
    makeNode(join(upper, 'in/hidden'), { type: 'character', mode: 0 });
    using layer = (await store.commitLayer({ upper, base: [] }))!;
    const [kept] = await store.holdLayers('h', [layer]);
    expect(readlinkSync(join(kept!, 'out'))).toBe('/etc');
    expect(sh('find . | sort', kept!)).toBe('.\n./in\n./in/hidden\n./out\n');
  });
});
