import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { deferred } from '@wherry/base';
import { digestOf, hexOf, mediaTypes } from '@wherry/oci';
import { describe, expect, it } from 'vitest';
import type { TarInput } from '../src/index.ts';
import { bytesOf, contentOf, file, fresh, nobody, open, stream, tarOf } from './scratch.ts';

/** Layers that are hashed by threads. */
const large = (name: string): Promise<Buffer> => tarOf([file(name, randomBytes(3_000_000))]);
const plain = [await large('a'), await large('b'), await large('c'), await large('d')];
const configOf = (diffIds: readonly string[]): string =>
  JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: diffIds } });

function archiveOf(layers: readonly Buffer[], diffIds: readonly string[]): Promise<Buffer> {
  const list = [{ Config: 'c.json', RepoTags: ['a:1'], Layers: layers.map((_, n) => `${n}.tar`) }];
  return tarOf([
    ...layers.map((layer, n) => file(`${n}.tar`, layer)),
    file('c.json', configOf(diffIds)),
    file('manifest.json', JSON.stringify(list)),
  ]);
}

/** How loading fails; nothing of it is left. */
async function failure(archive: Buffer): Promise<unknown> {
  const directory = fresh();
  let error: unknown;
  {
    await using store = await open({ directory });
    error = await store.load(stream(archive)).catch(({ message }: Error) => message);
  }
  expect(contentOf(directory)).toEqual([]);
  return error;
}

describe('a large layer', () => {
  it('is stored by its digest and unpacked, plain and compressed, and told of in its order', async () => {
    const stored = plain.map((layer, n) => (n % 2 === 0 ? layer : gzipSync(layer)));
    await using store = await open();
    const told: string[] = [];
    const options = { onLayer: ({ diffId }: { diffId: string }) => told.push(diffId) };
    const [loaded] = await store.load(stream(await archiveOf(stored, plain.map(digestOf))), options);
    expect(told).toEqual(plain.map(digestOf));
    const { image } = await store.inspect('a:1');
    expect(image.layers.map(({ digest }) => digest)).toEqual(stored.map(digestOf));
    const { lowerDirectories } = await store.rootfs(loaded!.id, 'o');
    expect(lowerDirectories.map((directory) => readdirSync(directory))).toEqual([['d'], ['c'], ['b'], ['a']]);
    // What is stored is what came.
    const saved = await bytesOf(store.save(['a:1']));
    await using again = await open();
    expect(await again.load(stream(saved))).toMatchObject([{ id: image.id }]);
  });

  it('is refused for another content than its config says, and the lowest one is told of', async () => {
    const forged = plain.map((layer, n) => digestOf(n % 2 === 0 ? layer : 'other'));
    expect(await failure(await archiveOf(plain, forged))).toBe(
      `invalid diffID for layer 1: expected "${digestOf('other')}", got "${digestOf(plain[1]!)}"`,
    );
  });

  it('is refused where its compressed form has the digest that its plain form should have', async () => {
    const compressed = gzipSync(plain[0]!);
    expect(await failure(await archiveOf([compressed], [digestOf(compressed)]))).toBe(
      `invalid diffID for layer 0: expected "${digestOf(compressed)}", got "${digestOf(plain[0]!)}"`,
    );
  });

  it('is refused in an OCI layout where it is not what its name says, by either algorithm', async () => {
    const blob = (digest: string, content: string | Buffer): TarInput =>
      file(`blobs/${digest.replace(':', '/')}`, content);
    const config = configOf([digestOf(plain[0]!)]);
    for (const digest of [digestOf(plain[0]!), `sha512:${'0'.repeat(128)}`]) {
      const manifest = JSON.stringify({
        ...{ schemaVersion: 2, mediaType: mediaTypes.ociManifest },
        config: { mediaType: mediaTypes.ociConfig, digest: digestOf(config), size: config.length },
        layers: [{ mediaType: mediaTypes.ociLayer, digest, size: plain[1]!.length }],
      });
      const entry = { mediaType: mediaTypes.ociManifest, digest: digestOf(manifest), size: manifest.length };
      const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [entry] };
      const archive = await tarOf([
        ...[blob(digest, plain[1]!), blob(digestOf(config), config), blob(digestOf(manifest), manifest)],
        file('index.json', JSON.stringify(index)),
      ]);
      expect(await failure(archive)).toBe(
        `failed to verify content: got sha256:${hexOf(digestOf(plain[1]!))}, expected ${digest}`,
      );
    }
  });

  it('is no way to a large archive behind its end', async () => {
    const archive = await archiveOf([plain[0]!], [digestOf(plain[0]!)]);
    const limits = { bytes: 10_000_000, entries: 100 };
    await using store = await open({ largestLayer: limits });
    const behind = (zeros: number): Buffer => gzipSync(Buffer.concat([archive, Buffer.alloc(zeros)]), { level: 1 });
    await expect(store.load(stream(behind(300_000_000)))).rejects.toMatchObject({
      code: 'tooLarge',
      message: 'an archive of more than 10000000 bytes',
    });
    expect(await store.load(stream(behind(30_000_000)))).toHaveLength(1);
  });

  it('is imported as it is, and as what it unpacks to', async () => {
    await using store = await open();
    const ids: string[] = [];
    for (const tar of [plain[0]!, gzipSync(plain[0]!)]) {
      const { id } = await store.importImage(stream(tar), { config: { created: '2026-01-01T00:00:00Z' } });
      ids.push(id);
      const { layers } = (await store.inspect(id)).image;
      expect(layers).toMatchObject([{ digest: digestOf(plain[0]!), diffId: digestOf(plain[0]!) }]);
    }
    expect(ids[1]).toBe(ids[0]);
  });

  it('may stand behind what says what it is, and twice in an image', async () => {
    const [one, two] = [plain[0]!, plain[1]!];
    const list = [{ Config: 'c.json', RepoTags: ['a:1'], Layers: ['0.tar', '1.tar', '0.tar'] }];
    const diffIds = [one, two, one].map(digestOf);
    const archive = await tarOf([
      ...[file('manifest.json', JSON.stringify(list)), file('c.json', configOf(diffIds))],
      ...[file('1.tar', two), file('0.tar', one)],
    ]);
    await using store = await open();
    const [loaded] = await store.load(stream(archive));
    const { lowerDirectories } = await store.rootfs(loaded!.id, 'o');
    expect(lowerDirectories.map((directory) => readdirSync(directory))).toEqual([['a'], ['b'], ['a']]);
  });

  it('that is here is neither written nor unpacked again, whatever an archive calls it', async () => {
    const directory = fresh();
    await using store = await open({ directory });
    const archive = await archiveOf(plain, plain.map(digestOf));
    await store.load(stream(archive));
    const facts = (): object[] =>
      plain.map((layer) => {
        const { ino, mtimeMs } = statSync(join(directory, 'blobs/sha256', hexOf(digestOf(layer))));
        return { ino, mtimeMs };
      });
    const before = [facts(), contentOf(directory)];
    const told: unknown[] = [];
    await store.load(stream(archive), { onLayer: (layer) => told.push(layer) });
    expect(told).toEqual([]);
    expect([facts(), contentOf(directory)]).toEqual(before);
    await store.remove('a:1', nobody);
    expect(contentOf(directory)).toEqual([]);
  });

  it('that begins as one that is here of its size is stored as what it is', async () => {
    const directory = fresh();
    await using store = await open({ directory });
    await store.load(stream(await archiveOf(plain, plain.map(digestOf))));
    const altered = plain.map((layer, n) => {
      const other = Buffer.from(layer);
      other[[600, 300_000, 1_500_000, 2_999_999][n]!]! ^= 1;
      return other;
    });
    await store.load(stream(await archiveOf(altered, altered.map(digestOf))));
    expect((await store.find('a:1'))!.layers.map(({ digest }) => digest)).toEqual(altered.map(digestOf));
    for (const layer of [...plain, ...altered]) {
      const stored = readFileSync(join(directory, 'blobs/sha256', hexOf(digestOf(layer))));
      expect(digestOf(stored)).toBe(digestOf(layer));
    }
    // What is broken on the disk is replaced by the same as it should be.
    const broken = join(directory, 'blobs/sha256', hexOf(digestOf(altered[0]!)));
    writeFileSync(broken, altered[0]!.subarray(0, 2_000_000));
    await store.load(stream(await archiveOf(altered, altered.map(digestOf))));
    expect(digestOf(readFileSync(broken))).toBe(digestOf(altered[0]!));
  });

  it('comes from more clients than there are threads that wait for them', async () => {
    await using store = await open();
    const archive = await archiveOf([plain[0]!], [digestOf(plain[0]!)]);
    const stalled = deferred();
    const slow = async function* (): AsyncGenerator<Buffer> {
      yield archive.subarray(0, 1_000_000);
      await stalled.promise;
      yield archive.subarray(1_000_000);
    };
    const loads = Array.from({ length: 6 }, () => store.load(slow()));
    expect(await store.load(stream(archive))).toHaveLength(1);
    expect((await store.importImage(stream(plain[1]!))).id).toMatch(/^sha256:/);
    stalled.resolve();
    for (const loaded of await Promise.all(loads)) expect(loaded).toHaveLength(1);
  });

  it('is unpacked no more, and nothing of it left, when the load is given up', async () => {
    const directory = fresh();
    await using store = await open({ directory });
    const archive = await archiveOf(plain, plain.map(digestOf));
    const stop = new AbortController();
    const endless = async function* (): AsyncGenerator<Buffer> {
      yield* stream(archive.subarray(0, 7_000_000));
      stop.abort();
      await new Promise(() => undefined);
    };
    await expect(store.load(endless(), { signal: stop.signal })).rejects.toMatchObject({ code: 'cancelled' });
    expect(contentOf(directory)).toEqual([]);
  });

  it('is left by a client that goes before its end', async () => {
    const directory = fresh();
    await using store = await open({ directory });
    const archive = await archiveOf(plain, plain.map(digestOf));
    const gone = async function* (): AsyncGenerator<Buffer> {
      yield* stream(archive.subarray(0, 7_000_000));
      throw new Error('gone');
    };
    await expect(store.load(gone())).rejects.toThrow('gone');
    expect(readdirSync(join(directory, 'ingest'))).toEqual([]);
    expect(await store.load(stream(archive))).toHaveLength(1);
  });
});
