import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { gzipSync } from 'node:zlib';
import { deferred } from '@wherry/base';
import { type Digest, digestOf } from '@wherry/oci';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ImageStore } from '../src/index.ts';
import { contentOf, file, fresh, hastyClock, mounts, open, stream, tarOf } from './scratch.ts';
import { type AddedImage, TestRegistry } from './test-registry.ts';

// Layers that are unpacked while they come.

const amd64 = { os: 'linux', architecture: 'amd64' };
let registry: TestRegistry;
let store: ImageStore;
let directory: string;
beforeEach(async () => {
  registry = await TestRegistry.start();
  directory = fresh();
  store = await open({ directory, clock: hastyClock, platform: amd64 });
});
afterEach(async () => {
  await store[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
});

const fileSize = 1_000_000;
/** Blobs are about as long as what is in them. */
const contents = Array.from({ length: 8 }, () => randomBytes(fileSize));
const plain = await tarOf(contents.map((content, n) => file(`f${n}`, content)));
const blob = gzipSync(plain, { level: 1 });

const named = (tag: string): string => `${registry.host}/team/app:${tag}`;
const publish = (sent: Buffer = blob, diffId: Digest = digestOf(plain), tag = 'v1'): AddedImage =>
  registry.addImage(tag, [{ blob: sent, diffId }]);
const namesIn = (path: string): string[] => (existsSync(path) ? readdirSync(path) : []);

/** Answers each request for a blob as the next of `answers` does; the last one for all that follow. */
function onBlob(digest: Digest, ...answers: ((response: ServerResponse) => void)[]): void {
  registry.intercept = (request, response) => {
    if (!request.url?.includes(digest)) return false;
    const answer = answers.length > 1 ? answers.shift()! : answers[0]!;
    answer(response);
    return response.writableEnded || response.headersSent || response.destroyed;
  };
}

/** Sends a part, and leaves the answer open. */
function send(response: ServerResponse, part: Buffer, length = blob.length): void {
  response.writeHead(200, { 'Content-Length': length });
  response.write(part);
}

const first = blob.subarray(0, 5_000_000);
const whole = (response: ServerResponse, sent: Buffer = blob): void =>
  void response.writeHead(200, { 'Content-Length': sent.length }).end(sent);

/** The path of the layer's second file where it is unpacked before its layer is, once it is there. */
async function unpackedEarly(): Promise<string> {
  return await vi.waitFor(
    () => {
      const layers = join(directory, 'layers');
      const folders = namesIn(layers).filter((name) => name.startsWith('.unpack-'));
      const path = folders.map((name) => join(layers, name, 'fs/f1')).find((name) => existsSync(name));
      expect(path).toBeDefined();
      expect(statSync(path!).size).toBe(fileSize);
      return path!;
    },
    { timeout: 20_000 },
  );
}

/** The layer's folder; it is whole. */
async function folderOf(tag = 'v1'): Promise<string> {
  const { lowerDirectories } = await store.rootfs(named(tag), 'o');
  for (const [n, content] of contents.entries()) {
    expect(readFileSync(join(lowerDirectories[0]!, `f${n}`)).equals(content)).toBe(true);
  }
  return lowerDirectories[0]!;
}

/** Nothing of a layer is here, whole or not. */
const nothingLeft = (image: AddedImage): void => {
  const without = [image.id, image.manifest].map((digest) => join('blobs/sha256', digest.slice(7)));
  expect(contentOf(directory).filter((path) => !without.includes(path))).toEqual([]);
};

describe('a layer that comes slowly', () => {
  it('is unpacked meanwhile, and is there once it is verified', async () => {
    const { id, layers } = publish();
    const rest = deferred();
    onBlob(layers[0]!, (response) => {
      send(response, first);
      void rest.promise.then(() => response.end(blob.subarray(first.length)));
    });
    const pulling = store.pullImage(named('v1'));
    const { ino } = statSync(await unpackedEarly());
    expect(namesIn(join(directory, 'layers')).filter((name) => !name.startsWith('.'))).toEqual([]);
    expect(namesIn(join(directory, 'blobs/sha256'))).not.toContain(layers[0]!.slice(7));
    rest.resolve();
    expect(await pulling).toBe(id);
    expect(statSync(join(await folderOf(), 'f1')).ino).toBe(ino);
  });

  it('goes on being unpacked when the connection breaks and the rest is asked for', async () => {
    const { id, layers } = publish();
    const broken = deferred();
    onBlob(
      layers[0]!,
      (response) => {
        send(response, first);
        void broken.promise.then(() => response.destroy());
      },
      () => undefined,
    );
    const pulling = store.pullImage(named('v1'));
    const { ino } = statSync(await unpackedEarly());
    broken.resolve();
    expect(await pulling).toBe(id);
    expect(registry.requests.filter(({ range }) => range !== undefined)).toHaveLength(1);
    expect(statSync(join(await folderOf(), 'f1')).ino).toBe(ino);
  });

  it('is what came last where a registry begins again from the start', async () => {
    const { id, layers } = publish();
    const other = gzipSync(await tarOf(contents.map((_, n) => file(`f${n}`, randomBytes(fileSize)))), { level: 1 });
    for (const sent of [first, other.subarray(0, first.length)]) {
      const broken = deferred();
      onBlob(
        layers[0]!,
        (response) => {
          send(response, sent);
          void broken.promise.then(() => response.destroy());
        },
        (response) => whole(response),
      );
      const pulling = store.pullImage(named('v1'));
      await unpackedEarly();
      broken.resolve();
      expect(await pulling).toBe(id);
      await folderOf();
      await store.release('o');
      await store.removeImage(named('v1'));
      await store.collectGarbage();
    }
  });

  it('is unpacked once for two that pull it at a time', async () => {
    const { id, layers } = publish();
    const rest = deferred();
    onBlob(layers[0]!, (response) => {
      send(response, first);
      void rest.promise.then(() => response.end(blob.subarray(first.length)));
    });
    const pulling = [store.pullImage(named('v1')), store.pull(named('v1'))];
    const { ino } = statSync(await unpackedEarly());
    rest.resolve();
    expect(await Promise.all(pulling)).toMatchObject([id, { id }]);
    expect(statSync(join(await folderOf(), 'f1')).ino).toBe(ino);
    expect(registry.requests.filter(({ path }) => path.includes(layers[0]!))).toHaveLength(1);
  });

  it('lets go at once of one who only waits for what another pulls', async () => {
    const { id, layers } = publish();
    const rest = deferred();
    onBlob(layers[0]!, (response) => {
      send(response, first);
      void rest.promise.then(() => response.end(blob.subarray(first.length)));
    });
    const pulling = store.pullImage(named('v1'));
    await unpackedEarly();
    const controller = new AbortController();
    const waiting = store.pullImage(named('v1'), {
      signal: controller.signal,
      onProgress: ({ phase }) => {
        if (phase === 'announced') setImmediate(() => controller.abort());
      },
    });
    await expect(waiting).rejects.toMatchObject({ code: 'cancelled' });
    rest.resolve();
    expect(await pulling).toBe(id);
    await folderOf();
  });

  it('keeps nobody waiting who has the same content already', async () => {
    const { layers } = publish();
    onBlob(layers[0]!, (response) => send(response, first));
    const controller = new AbortController();
    const pulling = store.pullImage(named('v1'), { signal: controller.signal });
    pulling.catch(() => undefined);
    await unpackedEarly();
    publish(gzipSync(plain, { level: 2 }), digestOf(plain), 'other');
    await store.pullImage(named('other'));
    await folderOf('other');
    controller.abort();
    await expect(pulling).rejects.toMatchObject({ code: 'cancelled' });
    await folderOf('other');
  });
});

describe('of what was unpacked nothing is left', () => {
  it('when the last byte is wrong', async () => {
    const image = publish();
    const rest = deferred();
    const wrong = Buffer.from(blob.subarray(first.length));
    wrong[wrong.length - 1]! ^= 1;
    onBlob(image.layers[0]!, (response) => {
      send(response, first);
      void rest.promise.then(() => response.end(wrong));
    });
    const pulling = store.pull(named('v1'));
    pulling.catch(() => undefined);
    await unpackedEarly();
    rest.resolve();
    await expect(pulling).rejects.toThrow(`filesystem layer verification failed for digest ${image.layers[0]}`);
    nothingLeft(image);
    expect(namesIn(join(directory, 'partial'))).toEqual([]);
    registry.intercept = () => false;
    expect((await store.pull(named('v1'))).id).toBe(image.id);
    await folderOf();
  });

  const broken: [what: string, sent: () => Buffer, diffId: () => Digest, words: string][] = [
    [
      'when it is not what the config says',
      () => blob,
      () => digestOf('other'),
      "layers from manifest don't match image configuration",
    ],
    [
      'when its compressed form ends before its end',
      () => blob.subarray(0, -1000),
      () => digestOf(plain),
      'failed to register layer: unexpected EOF',
    ],
    [
      'when it is no archive from some byte on',
      () => gzipSync(Buffer.concat([plain.subarray(0, -1024), randomBytes(10_000)]), { level: 1 }),
      () => digestOf(plain),
      'failed to register layer: archive/tar: invalid tar header',
    ],
  ];
  it.each(broken)('%s', async (_, sent, diffId, words) => {
    const image = publish(sent(), diffId());
    await expect(store.pull(named('v1'))).rejects.toThrow(words);
    await store.collectGarbage();
    expect(contentOf(directory)).toEqual([]);
    expect(image.layers).toHaveLength(1);
  });

  it('when the pull is given up, but the download is gone on with', async () => {
    const image = publish();
    onBlob(
      image.layers[0]!,
      (response) => send(response, first),
      () => undefined,
    );
    const controller = new AbortController();
    const pulling = store.pullImage(named('v1'), { signal: controller.signal });
    pulling.catch(() => undefined);
    await unpackedEarly();
    controller.abort();
    await expect(pulling).rejects.toMatchObject({ code: 'cancelled' });
    nothingLeft(image);
    expect(await store.pullImage(named('v1'))).toBe(image.id);
    expect(registry.requests.at(-1)!.range).toMatch(/^bytes=[1-9]/);
    await folderOf();
  });

  it('when what was kept of it is wrong: the layer comes anew', async () => {
    const image = publish();
    const wrong = Buffer.from(first);
    wrong[first.length - 1]! ^= 1;
    onBlob(
      image.layers[0]!,
      (response) => send(response, wrong),
      () => undefined,
    );
    const controller = new AbortController();
    const pulling = store.pullImage(named('v1'), { signal: controller.signal });
    pulling.catch(() => undefined);
    await unpackedEarly();
    controller.abort();
    await expect(pulling).rejects.toMatchObject({ code: 'cancelled' });
    expect(await store.pullImage(named('v1'))).toBe(image.id);
    await folderOf();
    expect(namesIn(join(directory, 'partial'))).toEqual([]);
    expect(namesIn(join(directory, 'layers')).filter((name) => name.startsWith('.unpack-'))).toEqual([]);
  });

  it('when the threads that work on it die, and the next pull goes on', async () => {
    const threads = new Set<Worker>();
    const collect = (thread: Worker): void => void threads.add(thread);
    process.on('worker', collect);
    const image = publish();
    onBlob(
      image.layers[0]!,
      (response) => send(response, first),
      () => undefined,
    );
    const pulling = store.pullImage(named('v1'));
    pulling.catch(() => undefined);
    await unpackedEarly();
    process.off('worker', collect);
    await Promise.all([...threads].map((thread) => thread.terminate()));
    await expect(pulling).rejects.toMatchObject({ code: 'internal' });
    await expect(pulling).rejects.toThrow('a thread ended while it worked');
    nothingLeft(image);
    expect(await store.pullImage(named('v1'))).toBe(image.id);
    expect(registry.requests.at(-1)!.range).toMatch(/^bytes=[1-9]/);
    await folderOf();
  });

  it('when the store is closed', async () => {
    const image = publish();
    onBlob(image.layers[0]!, (response) => send(response, first));
    const pulling = store.pullImage(named('v1'));
    pulling.catch(() => undefined);
    await unpackedEarly();
    await store[Symbol.asyncDispose]();
    await expect(pulling).rejects.toMatchObject({ code: 'cancelled' });
    nothingLeft(image);
  });

  it.each([12, 6])('when the disk is full, one of %i MiB', async (megabytes) => {
    directory = fresh();
    mkdirSync(directory);
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', directory]);
    mounts.push(directory);
    await using small = await open({ directory, clock: hastyClock, platform: amd64 });
    const image = publish();
    const full = { code: 'exhausted', message: 'the disk of the image store is full' };
    await expect(small.pull(named('v1'))).rejects.toMatchObject(full);
    expect(namesIn(join(directory, 'layers'))).toEqual([]);
    expect(namesIn(join(directory, 'partial'))).toEqual([]);
    expect(contentOf(directory)).toEqual([]);
    expect(image.layers).toHaveLength(1);
  });

  it('when it is larger than a layer may be', async () => {
    await using strict = await open({ directory, platform: amd64, largestLayer: { bytes: 6_000_000, entries: 1000 } });
    publish();
    await expect(strict.pull(named('v1'))).rejects.toMatchObject({ code: 'tooLarge' });
    await strict.collectGarbage();
    expect(contentOf(directory)).toEqual([]);
  });
});

describe('registries that send no more', () => {
  it('keep neither loads nor pulls from working', async () => {
    const controller = new AbortController();
    const slow = Array.from({ length: 4 }, (_, n) => {
      const layers = [1, 2, 3].map((m) => ({
        blob: Buffer.concat([blob, Buffer.from([n, m])]),
        diffId: digestOf(`${n}/${m}`),
      }));
      return registry.addImage(`slow${n}`, layers);
    });
    const hanging = new Set(slow.flatMap(({ layers }) => layers));
    let answered = 0;
    registry.intercept = (request, response) => {
      if (![...hanging].some((digest) => request.url?.includes(digest))) return false;
      answered++;
      send(response, first, blob.length + 2);
      return true;
    };
    const pulling = slow.map((_, n) => store.pullImage(named(`slow${n}`), { signal: controller.signal }));
    for (const pull of pulling) pull.catch(() => undefined);
    await unpackedEarly();
    await vi.waitFor(() => expect(answered).toBe(hanging.size), { timeout: 20_000 });
    const list = [{ Config: 'c.json', RepoTags: ['loaded:1'], Layers: ['l.tar'] }];
    const config = JSON.stringify({ ...amd64, rootfs: { type: 'layers', diff_ids: [digestOf(plain)] } });
    const archive = await tarOf([
      file('l.tar', plain),
      file('c.json', config),
      file('manifest.json', JSON.stringify(list)),
    ]);
    expect(await store.load(stream(archive))).toHaveLength(1);
    const { id } = publish();
    expect(await store.pullImage(named('v1'))).toBe(id);
    await folderOf();
    controller.abort();
    const ends = await Promise.allSettled(pulling);
    expect(ends.map((end) => end.status === 'rejected' && end.reason.code)).toEqual(slow.map(() => 'cancelled'));
    expect(namesIn(join(directory, 'layers')).filter((name) => name.startsWith('.unpack-'))).toEqual([]);
  });
});
