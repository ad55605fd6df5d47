import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { digestOf } from '@wherry/oci';
import { beforeEach, describe, expect, it } from 'vitest';
import { type ImageEvent, type ImageStore, type RemovedPart, writeTar } from '../src/index.ts';
import { bytesOf, file, fresh, nobody, open, stream } from './scratch.ts';

const make = async (store: ImageStore, text: string, ...references: string[]): Promise<string> =>
  (await store.createImage({ config: {}, layers: [{ entries: [file('f', text)] }], references })).id;
const words = (parts: readonly RemovedPart[]): string[] =>
  parts.map((part) => ('untagged' in part ? `Untagged: ${part.untagged}` : `Deleted: ${part.deleted.slice(0, 7)}`));

describe('removing', () => {
  it('takes a name while others are left, and the image with the last one', async () => {
    await using store = await open();
    const events: ImageEvent[] = [];
    using _ = store.onEvent((event) => events.push(event));
    const id = await make(store, 'x', 'a:1', 'localhost:5000/team/b:2');
    expect(words(await store.remove('a:1', nobody))).toEqual(['Untagged: a:1']);
    expect(words(await store.remove('localhost:5000/team/b:2', nobody))).toEqual([
      'Untagged: localhost:5000/team/b:2',
      'Deleted: sha256:',
      'Deleted: sha256:',
    ]);
    expect(await store.summaries()).toEqual([]);
    expect(events.map(({ action, id: of }) => [action, of])).toEqual([
      ['untag', id],
      ['untag', id],
      ['delete', id],
    ]);
    await expect(store.remove('a:1', nobody)).rejects.toMatchObject({
      code: 'notFound',
      message: 'No such image: a:1',
    });
    await expect(store.remove('a', nobody)).rejects.toThrow('No such image: a:latest');
    await expect(store.details('0'.repeat(64))).rejects.toThrow(`No such image: sha256:${'0'.repeat(64)}`);
  });

  it('by ID needs force when there are several names', async () => {
    await using store = await open();
    const id = await make(store, 'x', 'a:1', 'b:1');
    const short = id.slice(7, 19);
    await expect(store.remove(short, nobody)).rejects.toMatchObject({
      code: 'conflict',
      message: `conflict: unable to delete ${short} (must be forced) - image is referenced in multiple repositories`,
    });
    expect(words(await store.remove(short, { ...nobody, force: true }))).toEqual([
      'Untagged: a:1',
      'Untagged: b:1',
      'Deleted: sha256:',
      'Deleted: sha256:',
    ]);
  });

  it("refuses what containers use, in dockerd's words", async () => {
    await using store = await open();
    const id = await make(store, 'x', 'busybox');
    const short = id.slice(7, 19);
    const container = '0123456789abcdef0123456789abcdef';
    const stopped = { inUse: () => ({ containerId: container, running: false }) };
    const running = { inUse: () => ({ containerId: container, running: true }) };
    await expect(store.remove('busybox', stopped)).rejects.toThrow(
      `conflict: unable to remove repository reference "busybox" (must force) - container 0123456789ab is using its referenced image ${short}`,
    );
    await expect(store.remove(id, stopped)).rejects.toThrow(
      `conflict: unable to delete ${short} (must be forced) - image is being used by stopped container 0123456789ab`,
    );
    await expect(store.remove(id, { ...running, force: true })).rejects.toThrow(
      `conflict: unable to delete ${short} (cannot be forced) - image is being used by running container 0123456789ab`,
    );
    // By force the name goes, and the image stays without one.
    expect(words(await store.remove('busybox', { ...running, force: true }))).toEqual(['Untagged: busybox:latest']);
    expect((await store.summaries()).map(({ names }) => names)).toEqual([[]]);
    expect(words((await store.prune({ all: false, filter: () => true, ...running })).removed)).toEqual([]);
    const { removed, bytes } = await store.prune({ all: false, filter: () => true, ...nobody });
    expect(words(removed)).toEqual(['Deleted: sha256:', 'Deleted: sha256:']);
    expect(bytes).toBe(1);
  });

  it('of a child takes untagged parents with it, and parents with children stay', async () => {
    await using store = await open();
    const base = await make(store, 'x', 'base:1');
    const step = async (parent: string, text: string, ...references: string[]): Promise<string> => {
      const layers = (await store.inspect(parent)).image.layers;
      const upper = fresh();
      mkdirSync(upper);
      writeFileSync(join(upper, text), text);
      using layer = (await store.commitLayer({ upper, base: layers, adopt: true }))!;
      const config = { architecture: 'amd64', os: 'linux' };
      const image = await store.assemble({ config, layers: [...layers, layer], parent: digest(parent), references });
      return image.id;
    };
    const middle = await step(base, 'one');
    await step(middle, 'two', 'top:1');
    await expect(store.remove(middle, { ...nobody, force: true })).rejects.toThrow(
      `conflict: unable to delete ${middle.slice(7, 19)} (cannot be forced) - image has dependent child images`,
    );
    // Not dangling: something was made of it.
    expect((await store.prune({ all: false, filter: () => true, ...nobody })).removed).toEqual([]);
    expect(words(await store.remove('base:1', nobody))).toEqual(['Untagged: base:1']);
    await store.tag(base, 'base:1');
    const removed = await store.remove('top:1', nobody);
    expect(words(removed)).toEqual(['Untagged: top:1', ...Array<string>(4).fill('Deleted: sha256:')]);
    expect((await store.summaries()).map(({ names }) => names)).toEqual([['docker.io/library/base:1']]);
  });

  it('forgets what an image was made from with its last manifest, which may not say it', async () => {
    await using store = await open();
    const base = await make(store, 'x', 'base:1');
    const config = { architecture: 'amd64', os: 'linux' };
    const { layers } = (await store.inspect(base)).image;
    const child = await store.assemble({ config, layers, parent: digest(base), references: ['child:1'] });
    // An archive has a manifest of its own.
    await store.load(stream(await bytesOf(store.save(['child:1']))));
    expect((await store.inspect(child.id)).image.manifest).toBe(child.manifest);
    await store.remove('child:1', nobody);
    expect(words(await store.remove('base:1', nobody))).toEqual([
      'Untagged: base:1',
      'Deleted: sha256:',
      'Deleted: sha256:',
    ]);
  });

  it('with all prunes every image that nobody uses and the filter takes', async () => {
    await using store = await open();
    const used = await make(store, 'used', 'used:1');
    await make(store, 'kept', 'kept:1');
    await make(store, 'gone', 'gone:1', 'gone:2');
    const inUse = (image: string) => (image === used ? { containerId: 'c', running: false } : undefined);
    const filter = ({ names }: { names: readonly string[] }) => !names.includes('docker.io/library/kept:1');
    const { removed } = await store.prune({ all: true, filter, inUse });
    expect(words(removed)).toEqual(['Untagged: gone:1', 'Untagged: gone:2', 'Deleted: sha256:', 'Deleted: sha256:']);
    expect((await store.summaries()).flatMap(({ names }) => names).sort()).toEqual([
      'docker.io/library/kept:1',
      'docker.io/library/used:1',
    ]);
  });
});

describe('names', () => {
  it('are found by tag, ID, and unique prefix', async () => {
    await using store = await open();
    const id = await make(store, 'x', 'a');
    for (const reference of ['a', 'a:latest', 'docker.io/library/a', id, id.slice(7), id.slice(7, 9)]) {
      expect((await store.find(reference))?.id).toBe(id);
    }
    expect(await store.find('b')).toBeUndefined();
    await expect(store.tag('nosuch', 'x')).rejects.toThrow('No such image: nosuch:latest');
    await expect(store.tag('nosuch', 'sha256:a')).rejects.toThrow('refusing to create an ambiguous tag');
    await expect(store.tag('a', `b@${digestOf('')}`)).rejects.toThrow(
      'refusing to create a tag with a digest reference',
    );
    const before = (await store.details('a')).lastTaggedAt;
    await store.tag('a', 'b:2');
    expect(before).toBeUndefined();
    expect((await store.details('b:2')).lastTaggedAt).toBeGreaterThan(0);
  });
});

describe('the journal', () => {
  it('drops a torn line, keeps what was acknowledged and takes over version 1', async () => {
    const directory = fresh();
    const id = await (async () => {
      await using store = await open({ directory });
      const made = await make(store, 'x', 'a:1');
      await store.tag('a:1', 'b:1');
      return made;
    })();
    const journal = join(directory, 'images.jsonl');
    appendFileSync(journal, '[{"noName":"docker.io/library/a:1"},{"noIm');
    {
      await using store = await open({ directory });
      expect((await store.summaries())[0]!.names).toHaveLength(2);
      await store.tag('a:1', 'c:1');
    }
    await using store = await open({ directory });
    expect((await store.summaries())[0]!.names).toHaveLength(3);
    const image = (await store.find(id))!;
    const old = fresh();
    mkdirSync(old);
    execFileSync('cp', ['-a', join(directory, 'blobs'), join(directory, 'layers'), old]);
    const { createdAt: _c, labels: _l, unpackedBytes: _u, parent: _p, ...record } = image;
    const names = { 'docker.io/library/old:1': { manifest: image.manifest, target: image.manifest } };
    writeFileSync(
      join(old, 'images.json'),
      JSON.stringify({ version: 1, images: { [image.manifest]: record }, names }),
    );
    await using migrated = await open({ directory: old });
    expect(await migrated.details('old:1')).toMatchObject({ id, sizeBytes: 1 });
    await migrated.tag('old:1', 'new:1');
    await using again = await open({ directory: old });
    expect((await again.details('new:1')).names).toEqual(['docker.io/library/new:1', 'docker.io/library/old:1']);
  });

  describe('that is broken', () => {
    let directory: string;
    let ids: string[];
    const journal = (): string => join(directory, 'images.jsonl');
    beforeEach(async () => {
      directory = fresh();
      await using store = await open({ directory });
      ids = [await make(store, 'x', 'x:1'), await make(store, 'y', 'y:1')];
      await store.tag('x:1', 'x:2');
    });

    /** Names by image, of a store that is opened now. */
    async function found(): Promise<Record<string, readonly string[]>> {
      await using store = await open({ directory });
      for (const { id } of await store.summaries()) {
        const { lowerDirectories } = await store.rootfs(id, 'o');
        expect(readFileSync(join(lowerDirectories[0]!, 'f'), 'utf8')).toBe(id === ids[0] ? 'x' : 'y');
        await store.release('o');
      }
      return Object.fromEntries((await store.summaries()).map(({ id, names }) => [id, [...names].sort()]));
    }
    const name = (short: string): string => `docker.io/library/${short}`;

    it.each([
      ['garbage', (text: string) => text.replace(/^.*/, '\0\0\0')],
      ['something else', (text: string) => text.replace(/^.*/, '{"other":1}')],
      ['nothing', (text: string) => text.slice(text.indexOf('\n') + 1)],
    ])('in its first line has all that its others say: %s', async (_, broken) => {
      const text = broken(readFileSync(journal(), 'utf8'));
      writeFileSync(journal(), text);
      const whole = { [ids[0]!]: [name('x:1'), name('x:2')], [ids[1]!]: [name('y:1')] };
      expect(await found()).toEqual(whole);
      expect(readFileSync(`${journal()}.unreadable`, 'utf8')).toBe(text);
      expect(readFileSync(journal(), 'utf8')).toMatch(/^\{"version":2\}\n/);
      expect(await found()).toEqual(whole);
    });

    it.each([
      ['a line', (text: string) => text.replace(/^.*y:1.*$/m, '\0\0'), [name('x:1'), name('x:2')]],
      ['all of it', (text: string) => '\0'.repeat(text.length), []],
      ['its end and its header', () => '{"ver', []],
      ['everything, and is empty', () => '', []],
    ])('elsewhere has the images whose content is here, without lost names: %s', async (_, broken, names) => {
      writeFileSync(journal(), broken(readFileSync(journal(), 'utf8')));
      const left = { [ids[0]!]: names, [ids[1]!]: [] };
      expect(await found()).toEqual(left);
      await using store = await open({ directory });
      await store.tag(ids[1]!, 'again:1');
      expect(await found()).toEqual({ ...left, [ids[1]!]: [name('again:1')] });
    });

    it('is left as it is where it is of another version', async () => {
      const text = readFileSync(journal(), 'utf8').replace('{"version":2}', '{"version":3}');
      writeFileSync(journal(), text);
      const words = `${journal()} has version 3, and this Wherry reads version 2`;
      await expect(open({ directory })).rejects.toMatchObject({
        code: 'unsupported',
        message: expect.stringContaining(words),
      });
      expect(readFileSync(journal(), 'utf8')).toBe(text);
    });
  });

  it('takes many updates at once', async () => {
    const directory = fresh();
    {
      await using store = await open({ directory });
      await make(store, 'x', 'a:0');
      await Promise.all(Array.from({ length: 500 }, (_, n) => store.tag('a:0', `a:${n}`)));
      await Promise.all(Array.from({ length: 400 }, (_, n) => store.remove(`a:${n}`, nobody)));
    }
    await using store = await open({ directory });
    expect((await store.summaries())[0]!.names).toHaveLength(100);
  });
});

describe('saved archives', () => {
  it("are docker's and an OCI layout at once, and come back the same", async () => {
    await using store = await open();
    const shared = [file('shared', 'of both')];
    const one = await store.createImage({
      config: {},
      layers: [{ entries: shared }],
      references: ['one:1', 'one:latest'],
    });
    const two = await store.createImage({
      config: {},
      layers: [{ entries: shared }, { entries: [file('two')] }],
      compression: 'gzip',
      references: ['127.0.0.1:5000/a/two:2'],
    });
    const archive = await bytesOf(store.save(['one', two.id, '127.0.0.1:5000/a/two:2']));
    expect(archive.equals(await bytesOf(store.save(['one', two.id, '127.0.0.1:5000/a/two:2'])))).toBe(true);
    const folder = fresh();
    mkdirSync(folder);
    execFileSync('tar', ['-xf', '-', '-C', folder], { input: archive });
    const list = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'));
    expect(list.map((entry: { RepoTags: string[] }) => entry.RepoTags)).toEqual([
      ['one:1', 'one:latest'],
      ['127.0.0.1:5000/a/two:2'],
    ]);
    expect(list[1].Layers[0]).toBe(list[0].Layers[0]);
    const top = list[1].Layers[1].split('/')[2];
    expect(JSON.parse(readFileSync(join(folder, 'repositories'), 'utf8'))['127.0.0.1:5000/a/two']).toEqual({
      '2': top,
    });
    // Every blob is what its name says.
    execFileSync('sh', ['-c', 'cd blobs/sha256 && for f in *; do echo "$f  $f"; done | sha256sum -c --quiet'], {
      cwd: folder,
    });
    for (const form of [
      archive,
      gzipSync(archive),
      execFileSync('zstd', ['-qc'], { input: archive, maxBuffer: 2 ** 28 }),
    ]) {
      await using other = await open();
      const loaded = await other.load(stream(form));
      expect(loaded.map(({ id, names }) => [id, names.length])).toEqual([
        [one.id, 2],
        [two.id, 1],
      ]);
    }
    // As a plain OCI layout, too.
    rmSync(join(folder, 'manifest.json'));
    await using other = await open();
    expect((await other.load(folder)).map(({ id }) => id)).toEqual([one.id, one.id, two.id]);
    await expect(bytesOf(store.save(['nosuch']))).rejects.toThrow(/^No such image: nosuch$/);
    await expect(bytesOf(store.save(['one:3']))).rejects.toThrow('reference does not exist');
    const arm = { os: 'linux', architecture: 'arm64' };
    await expect(bytesOf(store.save(['one'], { platform: arm }))).rejects.toMatchObject({ code: 'notFound' });
  });

  it('say which name another image had', async () => {
    await using store = await open();
    await make(store, 'new', 'a:1');
    const archive = await bytesOf(store.save(['a:1']));
    await using other = await open();
    const old = await make(other, 'old', 'a:1');
    const [loaded] = await other.load(stream(archive));
    expect(loaded!.replaced).toEqual([{ name: 'a:1', id: old }]);
    expect((await other.summaries()).map(({ names }) => names.length).sort()).toEqual([0, 1]);
  });

  it("are refused in Go's words when they are none", async () => {
    await using store = await open();
    await expect(store.load(stream(Buffer.from('garbage\n')))).rejects.toThrow(/^unexpected EOF$/);
    await expect(store.load(stream(Buffer.alloc(0)))).rejects.toThrow(
      /^open .*\/tmp\/docker-import-[0-9a-f]+\/repositories: no such file or directory$/,
    );
    await expect(store.load(stream(Buffer.alloc(2000, 'x')))).rejects.toThrow('archive/tar: invalid tar header');
  });

  it('keep imported history, and imports are events', async () => {
    await using store = await open();
    const events: string[] = [];
    using _ = store.onEvent(({ action }) => events.push(action));
    const tar = writeTar([file('etc')]);
    const { id } = await store.importImage(tar, { message: 'Imported from -', references: ['i:1'] });
    expect((await store.details(id)).config.history).toMatchObject([{ comment: 'Imported from -' }]);
    expect(events).toEqual(['tag', 'import']);
  });
});

function digest(id: string): `sha256:${string}` {
  return id as `sha256:${string}`;
}
