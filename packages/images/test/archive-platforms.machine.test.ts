import { digestOf, mediaTypes, type Platform } from '@wherry/oci';
import { describe, expect, it } from 'vitest';
import type { ImageStore, TarInput } from '../src/index.ts';
import { bytesOf, file, nobody, open, stream, tarOf } from './scratch.ts';

const linux = (architecture: string): Platform => ({ os: 'linux', architecture });
const name = 'example.com/team/app:1';
const blob = (content: string | Buffer): TarInput => file(`blobs/${digestOf(content).replace(':', '/')}`, content);
const descriptor = (content: string | Buffer, mediaType: string, more: object = {}): object => ({
  ...{ mediaType, digest: digestOf(content), size: content.length },
  ...more,
});
const indexOf = (...manifests: object[]): string =>
  JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests });

/** An image of one layer. */
async function make(architecture: string) {
  const layer = await tarOf([file(architecture)]);
  const config = JSON.stringify({ ...linux(architecture), rootfs: { type: 'layers', diff_ids: [digestOf(layer)] } });
  const manifest = JSON.stringify({
    ...{ schemaVersion: 2, mediaType: mediaTypes.ociManifest },
    config: descriptor(config, mediaTypes.ociConfig),
    layers: [descriptor(layer, mediaTypes.ociLayer)],
  });
  const entry = descriptor(manifest, mediaTypes.ociManifest, { platform: linux(architecture) });
  return { id: digestOf(config), config, layer, entry, manifest, blobs: [blob(config), blob(layer), blob(manifest)] };
}
const [amd64, arm64, riscv64] = [await make('amd64'), await make('arm64'), await make('riscv64')];
const attestation = descriptor('{}', mediaTypes.ociManifest, {
  platform: { os: 'unknown', architecture: 'unknown' },
  annotations: { 'vnd.docker.reference.type': 'attestation-manifest', 'vnd.docker.reference.digest': digestOf('x') },
});
const index = indexOf(amd64.entry, arm64.entry, riscv64.entry, attestation);
const named = { annotations: { 'io.containerd.image.name': name } };
const entryOf = (content: string, more: object = named): string =>
  indexOf(descriptor(content, mediaTypes.ociIndex, more));
/** What docker itself would read beside an index: a list of the image for one machine. */
const list = (image: typeof amd64): TarInput => {
  const [Config, layer] = image.blobs.map((one) => one.name);
  return file('manifest.json', JSON.stringify([{ Config, RepoTags: [name], Layers: [layer] }]));
};
const whole = [...amd64.blobs, ...arm64.blobs, ...riscv64.blobs, blob(index), file('index.json', entryOf(index))];

/** The platforms whose images a name has here. */
async function platformsOf(store: ImageStore): Promise<(string | undefined)[]> {
  const { manifests } = await store.manifests(name);
  return manifests.filter(({ image }) => image !== undefined).map(({ platform }) => platform?.architecture);
}

describe('an archive with an index of several platforms', () => {
  it.each([
    ['alone', whole],
    ["beside docker's own list", [...whole, list(amd64)]],
  ])('%s stands whole behind its name, which means the image for this machine', async (_, entries) => {
    const archive = await tarOf(entries);
    for (const image of [amd64, riscv64]) {
      const architecture = image === amd64 ? 'amd64' : 'riscv64';
      await using store = await open({ platform: linux(architecture) });
      const loaded: string[] = [];
      const told = await store.load(stream(archive), { onLoaded: ({ id }) => loaded.push(id) });
      expect(told).toEqual([{ id: image.id, names: [name] }]);
      expect(loaded).toEqual([image.id]);
      expect((await store.find(name))?.id).toBe(image.id);
      expect(await platformsOf(store)).toEqual(['amd64', 'arm64', 'riscv64']);
      const { target, manifests } = await store.manifests(name);
      expect(target.digest).toBe(digestOf(index));
      expect(manifests.map(({ kind }) => kind)).toEqual(['image', 'image', 'image', 'attestation']);
      for (const one of [amd64, arm64, riscv64]) {
        const { config, id } = await store.details(name, linux(JSON.parse(one.config).architecture as string));
        expect(id).toBe(one.id);
        expect(config.rootfs.diff_ids).toEqual([digestOf(one.layer)]);
      }
    }
  });

  it('keeps the others while the name has them, and gives them up with it', async () => {
    await using store = await open({ platform: linux('amd64') });
    await store.load(stream(await tarOf(whole)));
    const prune = { all: false, filter: () => true, ...nobody };
    expect((await store.prune(prune)).removed).toEqual([]);
    await store.remove(name, nobody);
    await store.prune(prune);
    expect(await store.summaries()).toEqual([]);
  });

  it('is for a machine that it has no image for what its first image is for', async () => {
    await using store = await open({ platform: linux('s390x') });
    await store.load(stream(await tarOf(whole)));
    expect((await store.find(name))?.id).toBe(amd64.id);
    expect(await platformsOf(store)).toEqual(['amd64', 'arm64', 'riscv64']);
  });

  it('gives what is asked for, one or several, whose first the name means then', async () => {
    const archive = await tarOf([...whole, list(amd64)]);
    await using store = await open({ platform: linux('amd64') });
    await store.load(stream(archive), { platforms: [linux('arm64')] });
    expect(await platformsOf(store)).toEqual(['arm64']);
    expect((await store.find(name))?.id).toBe(arm64.id);
    await store.load(stream(archive), { platforms: [linux('riscv64'), linux('s390x'), linux('amd64')] });
    expect(await platformsOf(store)).toEqual(['amd64', 'arm64', 'riscv64']);
    expect((await store.find(name))?.id).toBe(riscv64.id);
  });

  it('is refused for a platform that it has not, and for one that it names and lacks', async () => {
    await using store = await open({ platform: linux('amd64') });
    const load = (entries: TarInput[], ...platforms: Platform[]) =>
      tarOf(entries).then((archive) => store.load(stream(archive), { platforms }));
    await expect(load(whole, linux('s390x'))).rejects.toMatchObject({
      code: 'notFound',
      message: 'requested platform (linux/s390x) not found: image might be filtered out',
    });
    await expect(load(whole, linux('s390x'), linux('ppc64le'))).rejects.toThrow(
      'requested platform (linux/s390x, linux/ppc64le) not found: ',
    );
    const partial = [...arm64.blobs, blob(index), file('index.json', entryOf(index))];
    await expect(load(partial, linux('amd64'))).rejects.toMatchObject({
      code: 'notFound',
      message: `requested platform (linux/amd64) found, but some content is missing: content digest ${digestOf(amd64.manifest)}: not found`,
    });
    expect(await store.summaries()).toEqual([]);
  });

  it('may have but some of what its index names', async () => {
    await using store = await open({ platform: linux('amd64') });
    await store.load(stream(await tarOf([...arm64.blobs, blob(index), file('index.json', entryOf(index))])));
    expect(await platformsOf(store)).toEqual(['arm64']);
    const none = store.load(stream(await tarOf([blob(index), file('index.json', entryOf(index))])));
    await expect(none).rejects.toThrow(`the archive lacks the blob ${digestOf(amd64.manifest)}`);
  });

  it('without a name gives the image for this machine', async () => {
    await using store = await open({ platform: linux('arm64') });
    const entries = [...whole.slice(0, -1), file('index.json', entryOf(index, {}))];
    expect(await store.load(stream(await tarOf(entries)))).toEqual([{ id: arm64.id, names: [] }]);
    expect((await store.summaries()).map(({ id }) => id)).toEqual([arm64.id]);
  });

  it('is read once, however often its index names an image', async () => {
    const often = indexOf(...Array.from({ length: 5000 }, () => arm64.entry), amd64.entry);
    await using store = await open({ platform: linux('amd64') });
    let layers = 0;
    const entries = [...amd64.blobs, ...arm64.blobs, blob(often), file('index.json', entryOf(often))];
    await store.load(stream(await tarOf(entries)), { onLayer: () => layers++ });
    expect(layers).toBe(2);
  });

  it('is refused for what is forged in an image of another platform', async () => {
    await using store = await open({ platform: linux('amd64') });
    const forged = whole.map((one) => (one.name === blob(arm64.layer).name ? { ...one, content: amd64.layer } : one));
    await expect(store.load(stream(await tarOf(forged)))).rejects.toThrow(/^failed to verify content: got sha256:/);
    expect(await platformsOf(store)).toEqual(['amd64']);
  });

  it('may have them in indexes within it, and is one of all of them here', async () => {
    const inner = indexOf(arm64.entry, riscv64.entry);
    const outer = indexOf(amd64.entry, descriptor(inner, mediaTypes.ociIndex), attestation);
    const entries = [...whole.slice(0, -2), blob(inner), blob(outer), file('index.json', entryOf(outer))];
    await using store = await open({ platform: linux('arm64') });
    expect(await store.load(stream(await tarOf(entries)))).toEqual([{ id: arm64.id, names: [name] }]);
    expect(await platformsOf(store)).toEqual(['amd64', 'arm64', 'riscv64']);
    await store.prune({ all: false, filter: () => true, ...nobody });
    expect((await store.details(name, linux('riscv64'))).id).toBe(riscv64.id);
    await using other = await open({ platform: linux('amd64') });
    await other.load(stream(await tarOf([...entries, list(amd64)])), { platforms: [linux('riscv64')] });
    expect((await other.find(name))?.id).toBe(riscv64.id);
    // An index that is not there is one that lacks.
    const without = entries.filter((one) => one.name !== blob(inner).name);
    await using third = await open({ platform: linux('arm64') });
    await third.load(stream(await tarOf(without)));
    expect(await platformsOf(third)).toEqual(['amd64']);
  });

  it('need not have layers that are here, and tells only of those that are not', async () => {
    await using store = await open({ platform: linux('amd64') });
    await store.load(stream(await tarOf(whole)), { platforms: [linux('amd64')] });
    const told: string[] = [];
    const without = whole.filter((one) => one.name !== blob(amd64.layer).name);
    const options = { onLayer: ({ diffId }: { diffId: string }) => told.push(diffId) };
    await store.load(stream(await tarOf(without)), options);
    expect(told).toEqual([digestOf(arm64.layer), digestOf(riscv64.layer)]);
    await store.load(stream(await tarOf(whole)), options);
    expect(told).toHaveLength(2);
    expect(await platformsOf(store)).toEqual(['amd64', 'arm64', 'riscv64']);
  });

  it("keeps what docker's own list says an image was made from", async () => {
    const child = JSON.stringify({ ...JSON.parse(amd64.config), history: [{ created_by: 'two' }] });
    const manifest = JSON.stringify({ ...JSON.parse(amd64.manifest), config: descriptor(child, mediaTypes.ociConfig) });
    const entry = descriptor(manifest, mediaTypes.ociManifest, { platform: linux('amd64') });
    const of = indexOf(entry, arm64.entry);
    const both = indexOf(
      descriptor(amd64.manifest, mediaTypes.ociManifest, {
        annotations: { 'io.containerd.image.name': 'a.io/parent:1' },
      }),
      descriptor(of, mediaTypes.ociIndex, named),
    );
    const entries = [...amd64.blobs, ...arm64.blobs, blob(child), blob(manifest), blob(of), file('index.json', both)];
    const listed = JSON.stringify([
      { Config: blob(child).name, RepoTags: [name], Layers: [blob(amd64.layer).name], Parent: amd64.id },
    ]);
    await using store = await open({ platform: linux('amd64') });
    await store.load(stream(await tarOf([...entries, file('manifest.json', listed)])));
    expect((await store.details(name)).parent).toBe(amd64.id);
  });
});

describe("an index beside docker's own list", () => {
  it.each([
    ['is no index', '{}'],
    ['is broken', '{'],
    ['names a blob that is not there', indexOf(descriptor('none', mediaTypes.ociIndex))],
    ['leads to no index', indexOf(descriptor('{}', mediaTypes.ociIndex))],
    ['has one image', entryOf(indexOf(arm64.entry))],
  ])('that %s is not looked at', async (_, content) => {
    await using store = await open({ platform: linux('amd64') });
    const entries = [...whole.slice(0, -1), blob('{}'), blob(indexOf(arm64.entry)), list(amd64)];
    await store.load(stream(await tarOf([...entries, file('index.json', content)])));
    expect((await store.find(name))?.id).toBe(amd64.id);
    expect((await store.manifests(name)).manifests).toHaveLength(1);
  });
});

it('what is saved without a platform has all that are here', async () => {
  await using store = await open({ platform: linux('amd64') });
  await store.load(stream(await tarOf(whole)), { platforms: [linux('amd64'), linux('arm64')] });
  await store.tag(name, 'other:1');
  const saved = await bytesOf(store.save([name, 'other:1']));
  await using again = await open({ platform: linux('amd64') });
  const names = [name, 'docker.io/library/other:1'];
  expect(await again.load(stream(saved))).toEqual(names.map((one) => ({ id: amd64.id, names: [one] })));
  for (const one of names) {
    const { manifests } = await again.manifests(one);
    expect(manifests.map(({ platform, image }) => [platform, image?.id])).toEqual([
      [linux('amd64'), amd64.id],
      [linux('arm64'), arm64.id],
    ]);
  }
  // The same again gives the same.
  expect((await bytesOf(again.save([name, 'other:1']))).equals(saved)).toBe(true);
  await using arm = await open({ platform: linux('amd64') });
  await arm.load(stream(saved), { platforms: [linux('arm64')] });
  expect((await arm.find('other:1'))?.id).toBe(arm64.id);
  // One that is alone is saved as what it is.
  const alone = await bytesOf(arm.save([name]));
  await using last = await open({ platform: linux('amd64') });
  await last.load(stream(alone));
  expect((await last.manifests(name)).manifests).toHaveLength(1);
});

it('what is saved for a platform is loaded for it', async () => {
  await using store = await open({ platform: linux('amd64') });
  await store.load(stream(await tarOf(whole)));
  for (const image of [arm64, amd64]) {
    const platform = linux(JSON.parse(image.config).architecture as string);
    const saved = await bytesOf(store.save([name], { platform }));
    await using other = await open({ platform: linux('amd64') });
    await expect(other.load(stream(saved), { platforms: [linux('riscv64')] })).rejects.toThrow(
      'requested platform (linux/riscv64) not found: image might be filtered out',
    );
    expect(await other.load(stream(saved), { platforms: [platform] })).toEqual([{ id: image.id, names: [name] }]);
  }
});
