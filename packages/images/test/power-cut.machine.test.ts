import { existsSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type Digest, digestOf, hexOf, mediaTypes } from '@wherry/oci';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ImageStore } from '../src/index.ts';
import { file, fresh, open, stream, tarOf } from './scratch.ts';
import { TestRegistry } from './test-registry.ts';

let registry: TestRegistry;
let directory: string;
beforeEach(async () => {
  registry = await TestRegistry.start();
  directory = fresh();
});
afterEach(() => registry[Symbol.asyncDispose]());

/** A store as after the machine's start number `boot`. */
const openAt = (boot: string): Promise<ImageStore> => open({ directory, boot });
const named = (tag: string): string => `${registry.host}/team/app:${tag}`;

interface Published {
  readonly id: Digest;
  readonly manifest: Digest;
  readonly layers: readonly Digest[];
}

/** An image of layers with one file each. */
async function publish(tag: string, files: readonly string[]): Promise<Published> {
  const plain: Buffer[] = [];
  for (const name of files) plain.push(await tarOf([file(name, name.repeat(10_000))]));
  const diffIds = plain.map(digestOf);
  const value = { os: 'linux', architecture: 'amd64', author: tag, rootfs: { type: 'layers', diff_ids: diffIds } };
  const config = registry.addBlob(Buffer.from(JSON.stringify(value)));
  const layers = plain.map((tar) => ({ ...registry.addBlob(gzipSync(tar)), mediaType: mediaTypes.ociLayerGzip }));
  const manifest = registry.addManifest(
    {
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { ...config, mediaType: mediaTypes.ociConfig },
      layers,
    },
    mediaTypes.ociManifest,
    tag,
  );
  return { id: config.digest, manifest: manifest.digest, layers: layers.map(({ digest }) => digest) };
}

const markPath = (): string => join(directory, 'unsettled.json');
const mark = (): { boot: string; manifests: Digest[] } => JSON.parse(readFileSync(markPath(), 'utf8'));
const blob = (digest: Digest): string => join(directory, 'blobs', 'sha256', hexOf(digest));

/** Pulls, and leaves the store as a power cut would that came before the disk was synced, but for what `mark` says. */
async function pulledAndCut(tags: readonly string[], manifests: readonly Digest[]): Promise<string[]> {
  await using store = await openAt('first');
  for (const tag of tags) await store.pull(named(tag));
  const { lowerDirectories } = await store.rootfs(named(tags.at(-1)!), 'o');
  await store.release('o');
  await store[Symbol.asyncDispose]();
  writeFileSync(markPath(), JSON.stringify({ boot: 'first', manifests }));
  return [...lowerDirectories].reverse();
}

async function names(store: ImageStore): Promise<string[]> {
  return (await store.summaries()).flatMap((summary) => summary.names).sort();
}

describe('after a power cut', () => {
  it('a pulled image whose blob did not reach the disk is gone, and can be pulled again', async () => {
    const { manifest, layers, id } = await publish('a', ['x', 'y']);
    await pulledAndCut(['a'], [manifest]);
    truncateSync(blob(layers[1]!), 10);
    await using store = await openAt('second');
    expect(await names(store)).toEqual([]);
    expect(await store.find(id)).toBeUndefined();
    expect(readdirSync(join(directory, 'blobs/sha256'))).toEqual([]);
    expect(readdirSync(join(directory, 'layers')).filter((name) => !name.startsWith('.'))).toEqual([]);
    expect(mark().manifests).toEqual([]);
    expect(await store.pull(named('a'))).toMatchObject({ id, isNew: true });
    const { lowerDirectories } = await store.rootfs(named('a'), 'o');
    expect(readFileSync(join(lowerDirectories[0]!, 'y'), 'utf8')).toBe('y'.repeat(10_000));
  });

  it('a pulled image whose blobs are whole is unpacked again', async () => {
    const { manifest } = await publish('a', ['x', 'y']);
    const folders = await pulledAndCut(['a'], [manifest]);
    truncateSync(join(folders[0]!, 'x'), 10);
    rmSync(join(folders[1]!, 'y'));
    await using store = await openAt('second');
    expect(await names(store)).toEqual([named('a')]);
    const before = statSync(markPath(), { bigint: true }).mtimeNs;
    const { lowerDirectories } = await store.rootfs(named('a'), 'o');
    expect(readFileSync(join(lowerDirectories[1]!, 'x'), 'utf8')).toBe('x'.repeat(10_000));
    expect(readFileSync(join(lowerDirectories[0]!, 'y'), 'utf8')).toBe('y'.repeat(10_000));
    // Those were doubtful, too, until they were waited for.
    await store.persistHold('o');
    expect(statSync(markPath(), { bigint: true }).mtimeNs).toBeGreaterThan(before);
    expect(mark()).toEqual({ boot: 'second', manifests: [] });
    for await (const _ of store.save([named('a')]));
  });

  it('leaves what was on the disk before, and the layers that it shares', async () => {
    const first = await publish('a', ['x', 'y']);
    const second = await publish('b', ['x', 'z']);
    const [shared, own] = await pulledAndCut(['a', 'b'], [second.manifest]);
    writeFileSync(join(shared!, 'x'), 'kept');
    writeFileSync(join(own!, 'z'), 'torn');
    truncateSync(blob(second.id), 3);
    await using store = await openAt('second');
    expect(await names(store)).toEqual([named('a')]);
    expect(readFileSync(join(shared!, 'x'), 'utf8')).toBe('kept');
    expect(existsSync(own!)).toBe(false);
    expect(existsSync(blob(first.layers[1]!))).toBe(true);
  });

  it('keeps nothing of a pull that had not come to its end', async () => {
    const { manifest, layers } = await publish('a', ['x']);
    await (await openAt('first'))[Symbol.asyncDispose]();
    writeFileSync(markPath(), JSON.stringify({ boot: 'first', manifests: [manifest] }));
    // Of the right size, as a file system may leave it.
    const size = registry.blobs.get(layers[0]!)!.length;
    await using empty = await openAt('first');
    await empty.createImage({ config: {}, layers: [], references: ['other:1'] });
    await empty[Symbol.asyncDispose]();
    writeFileSync(markPath(), JSON.stringify({ boot: 'first', manifests: [manifest] }));
    writeFileSync(blob(layers[0]!), Buffer.alloc(size));
    await using store = await openAt('second');
    expect(existsSync(blob(layers[0]!))).toBe(false);
    await store.pull(named('a'));
    expect((await names(store)).length).toBe(2);
  });
});

describe('after a kill', () => {
  it('everything is as it was, and is seen to', async () => {
    const { manifest } = await publish('a', ['x']);
    const [folder] = await pulledAndCut(['a'], [manifest]);
    writeFileSync(join(folder!, 'x'), 'the same file');
    {
      await using store = await openAt('first');
      expect(await names(store)).toEqual([named('a')]);
      await store.tag(named('a'), named('a'));
      expect(mark().manifests).toEqual([]);
    }
    await using store = await openAt('second');
    expect(await names(store)).toEqual([named('a')]);
    expect(readFileSync(join(folder!, 'x'), 'utf8')).toBe('the same file');
  });
});

describe('a load and an import', () => {
  it('name their images as doubtful before anything of them is entered, until who relies on them has waited', async () => {
    const layer = await tarOf([file('x', 'x'.repeat(3_000_000))]);
    const config = JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs: { diff_ids: [digestOf(layer)] } });
    const list = JSON.stringify([{ Config: 'c.json', RepoTags: ['a:1'], Layers: ['l.tar'] }]);
    const archive = await tarOf([file('l.tar', layer), file('c.json', config), file('manifest.json', list)]);
    {
      await using store = await openAt('first');
      const doubtful: Digest[] = [];
      await store.load(stream(archive), { onLayer: () => doubtful.push(...mark().manifests) });
      expect(doubtful).toEqual([(await store.find('a:1'))!.manifest]);
      await store.tag('a:1', 'b:1');
      expect(mark().manifests).toEqual([]);
      const { id } = await store.importImage(stream(layer), { references: ['i:1'] });
      await store[Symbol.asyncDispose]();
      const { manifest } = (await store.find(id))!;
      writeFileSync(markPath(), JSON.stringify({ boot: 'first', manifests: [manifest] }));
    }
    // The import's layer, which the other image had before.
    truncateSync(blob(digestOf(layer)), 10);
    await using store = await openAt('second');
    expect(await names(store)).not.toContain('docker.io/library/i:1');
  });
});

describe('a pull', () => {
  it('names its image as doubtful before anything of it is entered, until who relies on it has waited', async () => {
    const { manifest, layers } = await publish('a', ['x', 'y']);
    await using store = await openAt('first');
    const seen: Digest[][] = [];
    await store.pull(named('a'), {
      onProgress: ({ phase }) => {
        if (phase === 'downloaded' || phase === 'complete') seen.push(mark().manifests);
      },
    });
    expect(seen).toEqual(Array.from({ length: 2 * layers.length }, () => [manifest]));
    await store.rootfs(named('a'), 'o');
    await store.persistHold('o');
    expect(mark()).toEqual({ boot: 'first', manifests: [] });
    await publish('b', ['z']);
    await store.pull(named('b'));
    await store.tag(named('b'), 'mine:1');
    expect(mark().manifests).toEqual([]);
  });

  it('leaves no doubt where it fails, or the store is closed', async () => {
    const { layers } = await publish('a', ['x', 'y']);
    await publish('b', ['z']);
    {
      await using store = await openAt('first');
      registry.blobs.set(layers[1]!, Buffer.from(registry.blobs.get(layers[1]!)!).fill(7));
      await expect(store.pull(named('a'))).rejects.toMatchObject({ code: 'corrupt' });
    }
    expect(mark().manifests).toEqual([]);
    {
      await using store = await openAt('first');
      await store.pull(named('b'));
    }
    expect(mark().manifests).toEqual([]);
  });

  it('does without a record that cannot be read', async () => {
    await (await openAt('first'))[Symbol.asyncDispose]();
    for (const text of ['', '{"boot":', '{}', '{"boot":"other","manifests":[7,"x"]}']) {
      writeFileSync(markPath(), text);
      await using store = await openAt('second');
      expect(await names(store)).toEqual([]);
    }
  });
});
