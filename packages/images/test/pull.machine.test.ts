import { randomBytes } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, readFileSync, statSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type Digest, digestOf, mediaTypes } from '@wherry/oci';
import type { PullProgress, RegistryAuth } from '@wherry/runtime';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ImageStore, type TarInput, writeTar } from '../src/index.ts';
import { file, fresh, hastyClock, open, tarOf } from './scratch.ts';
import { type AddedImage, TestRegistry } from './test-registry.ts';

let registry: TestRegistry;
let store: ImageStore;
let directory: string;
beforeEach(async () => {
  registry = await TestRegistry.start();
  directory = fresh();
  store = await open({
    directory,
    clock: hastyClock,
    platform: { os: 'linux', architecture: 'amd64' },
  });
});
afterEach(async () => {
  await store[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
});

async function layer(name: string, size = 100): Promise<Buffer> {
  return await tarOf([file(name, randomBytes(size))]);
}

/** Puts an image into the registry. */
function publish(plain: readonly Buffer[], tag: string, architecture?: string): AddedImage {
  const layers = plain.map((content) => ({ blob: gzipSync(content), diffId: digestOf(content) }));
  return registry.addImage(tag, layers, architecture);
}

const named = (tag: string): string => `${registry.host}/team/app:${tag}`;
const pull = (tag: string, auth?: RegistryAuth): Promise<string> => store.pullImage(named(tag), { auth });

describe('pull', () => {
  it('brings an image, once', async () => {
    const layers = await Promise.all(['a', 'b', 'c', 'd'].map((name) => layer(name)));
    const { id, manifest } = publish([...layers, layers[0]!], 'v1');
    const progress: PullProgress[] = [];
    expect(await store.pullImage(named('v1'), { onProgress: (step) => progress.push(step) })).toBe(id);
    expect(await store.imageStatus(named('v1'))).toMatchObject({
      id,
      repoTags: [named('v1')],
      repoDigests: [`${registry.host}/team/app@${manifest}`],
    });
    expect(new Set(progress.map(({ phase }) => phase))).toEqual(
      new Set(['announced', 'waiting', 'downloading', 'verifying', 'downloaded', 'extracting', 'complete']),
    );
    const { lowerDirectories } = await store.rootfs(`${registry.host}/team/app@${manifest}`, 'o');
    expect(lowerDirectories.map((folder) => readdirSync(folder))).toEqual([['a'], ['d'], ['c'], ['b'], ['a']]);
    registry.requests.length = 0;
    expect(await pull('v1')).toBe(id);
    expect(registry.requests.map(({ method }) => method)).toEqual(['HEAD']);
  });

  it('unpacks layers side by side, also those that need the ones below', async () => {
    const tar = async (...entries: TarInput[]): Promise<Buffer> => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of writeTar(entries)) chunks.push(chunk);
      return Buffer.concat(chunks);
    };
    const many = Array.from({ length: 300 }, (_, n) => file(`d/many/${n}`, randomBytes(2000)));
    const base = await tar(
      { name: 'd', type: 'directory', mode: 0o700, uid: 5 },
      file('d/a', Buffer.from('a')),
      ...many,
    );
    const linked = await tar(
      { name: 'd/c', type: 'link', mode: 0o644, linkName: 'd/a' },
      file('d/b', Buffer.from('b')),
    );
    const { id } = publish([base, linked, await layer('alone')], 'v1');
    expect(await pull('v1')).toBe(id);
    const [top, middle, bottom] = (await store.rootfs(named('v1'), 'o')).lowerDirectories as [string, string, string];
    expect(readFileSync(join(middle, 'd/c'), 'utf8')).toBe('a');
    expect(statSync(join(middle, 'd'))).toMatchObject({ mode: 0o40700, uid: 5 });
    expect([readdirSync(top), readdirSync(join(middle, 'd')), readdirSync(join(bottom, 'd/many')).length]).toEqual([
      ['alone'],
      ['a', 'b', 'c'],
      300,
    ]);
  });

  it('makes folders that a layer only implies as they are below, also beside what is below', async () => {
    const file = (name: string): TarInput => ({ name, type: 'file', mode: 0o644, content: Buffer.from(name) });
    const folder = (name: string, more: Partial<TarInput>): TarInput => ({
      ...{ name, type: 'directory', mode: 0o755 },
      ...more,
    });
    const tar = async (...entries: TarInput[]): Promise<Buffer> => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of writeTar(entries)) chunks.push(chunk);
      return Buffer.concat(chunks);
    };
    const base = await tar(
      folder('team', { mode: 0o2775, gid: 8, mtime: 1_000_000 }),
      folder('team/deep', { uid: 9 }),
      folder('usr/lib', { mode: 0o700 }),
      { name: 'lib', type: 'symlink', mode: 0o777, linkName: 'usr/lib' },
      folder('own', { uid: 3 }),
      folder('gone', { uid: 4 }),
      ...Array.from({ length: 300 }, (_, n) => ({ ...file(`many/${n}`), content: randomBytes(2000) })),
    );
    const implying = await tar(
      file('team/deep/a'),
      file('own/a'),
      folder('own', { mode: 0o711, uid: 7 }),
      file('gone/a'),
      { name: 'gone', type: 'symlink', mode: 0o777, linkName: '/etc' },
      file('new/a'),
    );
    const linked = await tar(file('lib/a'), file('team/b'));
    // Only with the layers below is it clear that nothing stands in the way.
    const both = await tar(
      file('lib/c'),
      folder('usr/lib/c', {}),
      file('usr/lib/c/d'),
      file('lib/e'),
      folder('lib', {}),
    );
    const { id } = publish([base, implying, linked, both], 'implied');
    const etc = statSync('/etc');
    expect(await pull('implied')).toBe(id);
    const [third, second, first] = (await store.rootfs(named('implied'), 'o')).lowerDirectories as string[];
    expect(statSync(join(first!, 'team'))).toMatchObject({ mode: 0o42775, gid: 8, mtimeMs: 1_000_000_000 });
    expect(statSync(join(first!, 'team/deep'))).toMatchObject({ mode: 0o40755, uid: 9 });
    expect(statSync(join(first!, 'team/deep/a'))).toMatchObject({ mode: 0o100644, uid: 0, gid: 0 });
    expect(statSync(join(first!, 'own'))).toMatchObject({ mode: 0o40711, uid: 7 });
    expect(statSync(join(first!, 'new'))).toMatchObject({ mode: 0o40755, uid: 0 });
    expect(lstatSync(join(first!, 'gone')).isSymbolicLink()).toBe(true);
    expect(statSync('/etc')).toMatchObject({ uid: etc.uid, mode: etc.mode });
    expect(readdirSync(second!).sort()).toEqual(['team', 'usr']);
    expect(readFileSync(join(second!, 'usr/lib/a'), 'utf8')).toBe('lib/a');
    expect(statSync(join(second!, 'usr/lib')).mode).toBe(0o40700);
    expect(readdirSync(join(third!, 'usr/lib/c'))).toEqual(['d']);
    expect(readdirSync(third!).sort()).toEqual(['lib', 'usr']);
  });

  it('brings large layers of more images at a time than there are threads for', async () => {
    const images = await Promise.all(
      Array.from({ length: 8 }, async (_, n) => publish([await layer(`file${n}`, 6_000_000)], `large${n}`).id),
    );
    const pulled = await Promise.all(images.map((_, n) => pull(`large${n}`)));
    expect(pulled).toEqual(images);
  });

  it('chooses the platform of an index, and keeps the name of the index', async () => {
    const arm = publish([await layer('arm')], 'arm', 'arm64');
    const amd = publish([await layer('amd')], 'amd');
    const entry = (image: AddedImage, architecture: string) => ({
      mediaType: mediaTypes.ociManifest,
      digest: image.manifest,
      size: 1,
      platform: { os: 'linux', architecture },
    });
    const both = {
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: [entry(arm, 'arm64'), entry(amd, 'amd64')],
    };
    const index = registry.addManifest(both, mediaTypes.ociIndex, 'multi');
    registry.addManifest({ ...both, manifests: [entry(arm, 'arm64')] }, mediaTypes.ociIndex, 'other');
    expect(await pull('multi')).toBe(amd.id);
    expect((await store.imageStatus(amd.id))?.repoDigests).toEqual([`${registry.host}/team/app@${index.digest}`]);
    expect(await store.pullImage(named('multi'), { platform: { os: 'linux', architecture: 'arm64' } })).toBe(arm.id);
    await expect(pull('other')).rejects.toMatchObject({
      code: 'notFound',
      message: expect.stringMatching(/no match for platform in manifest: not found$/),
    });
  });

  it('takes the word of an index on the platform of an image that says another', async () => {
    const amd = publish([await layer('amd')], 'amd');
    expect(await pull('amd')).toBe(amd.id);
    const platform = { os: 'linux', architecture: 'arm64' };
    // Another manifest of the same image, as another client writes it.
    const value = JSON.parse(registry.manifests.get(amd.manifest)!.content.toString()) as object;
    const other = registry.addManifest({ ...value, annotations: { a: 'b' } }, mediaTypes.ociManifest);
    const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [{ ...other, platform }] };
    registry.addManifest(index, mediaTypes.ociIndex, 'said');
    expect(await store.pullImage(named('said'), { platform })).toBe(amd.id);
    expect((await store.details(named('said'), platform)).id).toBe(amd.id);
    await expect(store.details(named('amd'), platform)).rejects.toThrow('does not provide the specified platform');
    await store.collectGarbage();
    expect((await store.manifests(named('said'))).manifests).toMatchObject([{ image: { id: amd.id } }]);
  });

  it('follows indexes within indexes, not for ever', async () => {
    const { id, manifest } = publish([await layer('a')], 'v1');
    const within = (digest: string, mediaType: string) => ({
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: [{ mediaType, digest, size: registry.manifests.get(digest)!.content.length }],
    });
    let { digest } = registry.addManifest(within(manifest, mediaTypes.ociManifest), mediaTypes.ociIndex, 'level1');
    for (const tag of ['level2', 'level3', 'level4', 'level5'])
      ({ digest } = registry.addManifest(within(digest, mediaTypes.ociIndex), mediaTypes.ociIndex, tag));
    expect(await pull('level2')).toBe(id);
    await store.collectGarbage();
    expect((await store.details(named('level2'))).id).toBe(id);
    expect(await pull('level4')).toBe(id);
    await expect(pull('level5')).rejects.toThrow('more than 4 image indexes within each other');
  });

  it('takes what else runs on a machine where an index has nothing better', async () => {
    const entry = ({ manifest }: AddedImage, architecture: string) => ({
      mediaType: mediaTypes.ociManifest,
      digest: manifest,
      size: registry.manifests.get(manifest)!.content.length,
      platform: { os: 'linux', architecture },
    });
    const old = publish([await layer('a')], '386', '386');
    const own = publish([await layer('b')], 'amd64', 'amd64');
    const index = (...manifests: object[]) => ({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests });
    registry.addManifest(index(entry(old, '386')), mediaTypes.ociIndex, 'old');
    registry.addManifest(index(entry(old, '386'), entry(own, 'amd64')), mediaTypes.ociIndex, 'both');
    const platform = { os: 'linux', architecture: 'amd64' };
    expect(await store.pullImage(named('old'), { platform })).toBe(old.id);
    expect((await store.details(named('old'), platform)).id).toBe(old.id);
    expect(await store.pullImage(named('both'), { platform })).toBe(own.id);
    expect(await store.pullImage(named('both'), { platform: { ...platform, architecture: '386' } })).toBe(old.id);
    expect((await store.details(named('both'))).id).toBe(old.id);
    expect((await store.details(named('both'), platform)).id).toBe(own.id);
  });

  it('says what failed in the words of containerd', async () => {
    await expect(pull('nope')).rejects.toMatchObject({
      code: 'notFound',
      message: `failed to pull and unpack image "${named('nope')}": failed to resolve reference "${named('nope')}": ${named('nope')}: not found`,
    });
    const unused = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => unused.once('listening', resolve));
    const { port } = unused.address() as AddressInfo;
    await new Promise((resolve) => unused.close(resolve));
    const name = `127.0.0.1:${port}/nope:v1`;
    await expect(store.pullImage(name)).rejects.toMatchObject({
      code: 'unavailable',
      message: `failed to pull and unpack image "${name}": failed to resolve reference "${name}": failed to do request: Head "http://127.0.0.1:${port}/v2/nope/manifests/v1": dial tcp 127.0.0.1:${port}: connect: connection refused`,
    });
    await expect(store.pullImage(`localhost:${port}/nope:v1`)).rejects.toMatchObject({
      message: expect.stringMatching(/dial tcp 127\.0\.0\.1:\d+: connect: connection refused$/),
    });
    await expect(store.pullImage('Bad Name')).rejects.toMatchObject({ code: 'invalid' });
  });
});

describe('authorisation', () => {
  const demand = (challenge: string, right: string): void => {
    registry.intercept = (request, response) => {
      if (!request.url?.startsWith('/v2/') || request.headers.authorization === right) return false;
      response.writeHead(401, { 'WWW-Authenticate': challenge }).end();
      return true;
    };
  };

  it('answers basic challenges', async () => {
    const { id } = publish([await layer('a')], 'v1');
    demand('Basic realm="r"', `Basic ${Buffer.from('me:secret').toString('base64')}`);
    await expect(pull('v1')).rejects.toMatchObject({ code: 'unauthorized' });
    await expect(pull('v1', { username: 'me', password: 'wrong' })).rejects.toMatchObject({ code: 'unauthorized' });
    expect(await pull('v1', { username: 'me', password: 'secret' })).toBe(id);
  });

  it('fetches bearer tokens, with credentials and without', async () => {
    const { id } = publish([await layer('a')], 'v1');
    const scope = 'repository:team/app:pull';
    demand(`Bearer realm="http://${registry.host}/token",service="s",scope="${scope}"`, 'Bearer t0k');
    const refuse = registry.intercept;
    let seen: string[] = [];
    registry.intercept = (request, response) => {
      if (!request.url?.startsWith('/token')) return refuse(request, response);
      seen.push(`${request.method} ${request.url} ${request.headers.authorization}`);
      response.writeHead(200).end(JSON.stringify({ token: 't0k' }));
      return true;
    };
    expect(await pull('v1')).toBe(id);
    expect(seen).toEqual([`GET /token?service=s&scope=${encodeURIComponent(scope)} undefined`]);
    seen = [];
    await pull('v1', { username: 'me', password: 'secret' });
    expect(seen[0]).toMatch(/ Basic bWU6c2VjcmV0$/);
    seen = [];
    await pull('v1', { identityToken: 'refresh' });
    expect(seen).toEqual(['POST /token undefined']);
    seen = [];
    await pull('v1', { registryToken: 't0k' });
    expect(seen).toEqual([]);
  });

  it('sends credentials to no realm without TLS', async () => {
    publish([await layer('a')], 'v1');
    demand('Bearer realm="http://192.0.2.1/token"', 'none');
    await expect(pull('v1', { username: 'me', password: 'secret' })).rejects.toMatchObject({ code: 'unauthorized' });
  });

  it('does not follow a redirect with the credentials', async () => {
    const { layers } = publish([await layer('a')], 'v1');
    await using other = await TestRegistry.start();
    other.intercept = (_request, response) => {
      response.writeHead(200).end(registry.blobs.get(layers[0]!));
      return true;
    };
    const basic = `Basic ${Buffer.from('me:secret').toString('base64')}`;
    demand('Basic realm="r"', basic);
    const refuse = registry.intercept;
    registry.intercept = (request, response) => {
      if (refuse(request, response)) return true;
      if (!request.url?.includes(layers[0]!)) return false;
      response.writeHead(307, { Location: `http://${other.host}/elsewhere` }).end();
      return true;
    };
    await pull('v1', { username: 'me', password: 'secret' });
    expect(other.requests.map(({ path, authorization }) => [path, authorization])).toEqual([['/elsewhere', undefined]]);
  });

  it('does not follow a redirect away from this machine without TLS', async () => {
    publish([await layer('a')], 'v1');
    registry.intercept = (_request, response) => {
      response.writeHead(307, { Location: 'http://192.0.2.1/' }).end();
      return true;
    };
    await expect(pull('v1')).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('not TLS'),
    });
  });
});

describe('broken registries', () => {
  const onBlob = (digest: Digest, answer: typeof TestRegistry.prototype.intercept): void => {
    registry.intercept = (request, response) => (request.url?.includes(digest) ? answer(request, response) : false);
  };

  it('are asked for the rest when a connection breaks', async () => {
    const { id, layers } = publish([await layer('a', 600_000)], 'v1');
    const blob = registry.blobs.get(layers[0]!)!;
    let breaks = 0;
    onBlob(layers[0]!, (_request, response) => {
      if (++breaks > 1) return false;
      response.writeHead(200, { 'Content-Length': blob.length });
      response.write(blob.subarray(0, 300_000), () => response.destroy());
      return true;
    });
    expect(await pull('v1')).toBe(id);
    const ranges = registry.requests.filter(({ path }) => path.includes(layers[0]!)).map(({ range }) => range);
    expect(ranges).toHaveLength(2);
    expect(ranges[1]).toMatch(/^bytes=[1-9]\d*-$/);
  });

  it('may ignore the range', async () => {
    const { id, layers } = publish([await layer('a', 600_000)], 'v1');
    const blob = registry.blobs.get(layers[0]!)!;
    let requests = 0;
    onBlob(layers[0]!, (_request, response) => {
      response.writeHead(200, { 'Content-Length': blob.length });
      if (++requests === 1) response.write(blob.subarray(0, 300_000), () => response.destroy());
      else response.end(blob);
      return true;
    });
    expect(await pull('v1')).toBe(id);
  });

  it('are tried a bounded number of times', async () => {
    const { layers } = publish([await layer('a')], 'v1');
    onBlob(layers[0]!, (_request, response) => {
      response.writeHead(503).end();
      return true;
    });
    await expect(pull('v1')).rejects.toMatchObject({ code: 'unavailable', message: expect.stringContaining('503') });
    expect(registry.requests.filter(({ path }) => path.includes(layers[0]!))).toHaveLength(5);
  });

  it('are no image where they hold something else', async () => {
    const config = registry.addBlob(Buffer.from('{}'));
    const typed = (mediaType: string, configType: string) => ({
      schemaVersion: 2,
      mediaType,
      config: { ...config, mediaType: configType },
      layers: [],
    });
    const { ociManifest, dockerManifest } = mediaTypes;
    registry.addManifest(typed(ociManifest, 'application/vnd.cncf.helm.config.v1+json'), ociManifest, 'chart');
    registry.addManifest(typed(dockerManifest, 'application/vnd.docker.plugin.v1+json'), dockerManifest, 'plugin');
    const layers = [{ ...config, mediaType: 'application/x.y' }];
    const emptyConfig = 'application/vnd.oci.empty.v1+json';
    registry.addManifest({ ...typed(ociManifest, emptyConfig), layers }, ociManifest, 'artifact');
    await expect(store.pull(named('artifact'))).rejects.toThrow(`unsupported media type ${emptyConfig}`);
    await expect(store.pull(named('chart'))).rejects.toThrow(
      'unsupported media type application/vnd.cncf.helm.config.v1+json',
    );
    await expect(store.pull(named('plugin'))).rejects.toThrow(
      'Encountered remote "application/vnd.docker.plugin.v1+json"(plugin) when fetching',
    );
    expect(await store.listImages()).toEqual([]);
  });

  it.each([
    ['cut', '{"schemaVersion":2,', /^unexpected end of JSON input$/],
    ['page', '<html>', /^invalid character '<' looking for beginning of value$/],
    ['list', '[]', /^the image manifest is no object$/],
    [
      'both',
      `{"schemaVersion":2,"layers":[],"manifests":[],"mediaType":"${mediaTypes.ociManifest}"}`,
      /an image index, too$/,
    ],
    [
      'also',
      `{"schemaVersion":2,"layers":[],"manifests":[],"mediaType":"${mediaTypes.ociIndex}"}`,
      /an image manifest, too$/,
    ],
  ])('are told what is wrong with a manifest: %s', async (tag, text, words) => {
    const content = Buffer.from(text);
    for (const name of [tag, digestOf(content)]) registry.manifests.set(name, { content, mediaType: '' });
    await expect(store.pull(named(tag))).rejects.toMatchObject({
      code: 'corrupt',
      message: expect.stringMatching(words),
    });
  });

  it('are told of a layer that ends too early', async () => {
    const { layers } = publish([await layer('a', 60_000)], 'v1');
    const blob = registry.blobs.get(layers[0]!)!;
    onBlob(layers[0]!, (_request, response) => {
      response.writeHead(200, { 'Content-Length': blob.length });
      response.write(blob.subarray(0, 30_000), () => response.destroy());
      return true;
    });
    await expect(store.pull(named('v1'))).rejects.toThrow(/^unexpected EOF$/);
    await expect(pull('v1')).rejects.toThrow(/: failed to copy: unexpected EOF$/);
  });

  it('say in the words of dockerd which layer is not what it should be', async () => {
    const { layers, id } = publish([await layer('a')], 'v1');
    const blob = registry.blobs.get(layers[0]!)!;
    registry.blobs.set(layers[0]!, Buffer.concat([blob.subarray(1), blob.subarray(0, 1)]));
    await expect(store.pull(named('v1'))).rejects.toThrow(
      `filesystem layer verification failed for digest ${layers[0]}`,
    );
    registry.blobs.delete(layers[0]!);
    await expect(store.pull(named('v1'))).rejects.toThrow(/^unknown blob$/);
    registry.blobs.delete(id);
    await store.collectGarbage();
    await expect(store.pull(named('v1'))).rejects.toThrow(
      /^error pulling image configuration: download failed after attempts=1: unknown blob$/,
    );
  });

  it('cannot pass off other content', async () => {
    const good = publish([await layer('a')], 'v1');
    const blob = registry.blobs.get(good.layers[0]!)!;
    const bad = Buffer.from(blob);
    bad[20]! ^= 1;
    for (const content of [bad, Buffer.concat([blob, blob])]) {
      registry.blobs.set(good.layers[0]!, content);
      await expect(pull('v1')).rejects.toMatchObject({ code: 'corrupt' });
    }
    registry.blobs.set(good.layers[0]!, blob);
    // What had been verified is kept for the next attempt until it is collected.
    await store.collectGarbage();
    registry.manifests.set(good.manifest, {
      content: Buffer.from('{"schemaVersion":2}'),
      mediaType: mediaTypes.ociManifest,
    });
    await expect(pull('v1')).rejects.toMatchObject({ code: 'corrupt' });
    const huge = { content: Buffer.alloc(5_000_000, ' '), mediaType: mediaTypes.ociManifest };
    for (const name of ['huge', digestOf(huge.content)]) registry.manifests.set(name, huge);
    await expect(pull('huge')).rejects.toMatchObject({ code: 'tooLarge' });
    expect(await store.listImages()).toEqual([]);
    await store.collectGarbage();
    expect(readdirSync(join(directory, 'ingest'))).toEqual([]);
    const left = join(directory, 'blobs/sha256');
    expect(existsSync(left) ? readdirSync(left) : []).toEqual([]);
  });

  it('can be given up', async () => {
    const { layers } = publish([await layer('a')], 'v1');
    const controller = new AbortController();
    onBlob(layers[0]!, () => {
      // Never answers.
      controller.abort();
      return true;
    });
    await expect(store.pullImage(named('v1'), { signal: controller.signal })).rejects.toMatchObject({
      code: 'cancelled',
    });
  });
});
