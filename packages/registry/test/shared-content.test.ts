import { createHash } from 'node:crypto';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '@wherry/base';
import { type ImageStore, openImageStore } from '@wherry/images';
import { type Digest, hexOf } from '@wherry/oci';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { blobStoreContract } from './blob-store-contract.ts';
import { TestRegistry } from './test-client.ts';

const openImages = (folder: string): Promise<ImageStore> => openImageStore({ directory: folder, log: silentLogger });

blobStoreContract("the images' store", async (folder, resources) => {
  const images = resources.use(await openImages(join(folder, 'images')), 'images');
  return images.keptContent('registry');
});

describe('a registry on the content of images', () => {
  let folder: string;
  let images: ImageStore;
  let registry: TestRegistry;
  let name: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'wherry-shared-'));
    images = await openImages(join(folder, 'images'));
    registry = await start();
    name = `${registry.url.replace('http://', '')}/team/app:1`;
  });
  afterEach(async () => {
    await registry[Symbol.asyncDispose]();
    await images[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  const nobody = { inUse: () => undefined };
  const start = (): Promise<TestRegistry> =>
    TestRegistry.start({ directory: join(folder, 'registry'), blobs: images.keptContent('registry') });
  const make = async (): Promise<Digest> => {
    const content = Buffer.alloc(100_000, 'some text ');
    const entries = [{ name: 'file', type: 'file', mode: 0o644, content } as const];
    await images.createImage({ config: {}, layers: [{ entries }], compression: 'gzip', references: [name] });
    return (await images.details(name)).layers[0]!.digest;
  };
  const blob = (digest: Digest): string => join(folder, 'images', 'blobs', 'sha256', hexOf(digest));
  const linksOf = async (digest: Digest): Promise<number> => (await stat(blob(digest))).nlink;
  const sentBlobs = async (): Promise<number> => {
    const metrics = (await registry.client.get('/metrics')).body.toString();
    return Number(/sent_bytes_total\{route="blob"\} (\d+)/.exec(metrics)?.[1] ?? 0);
  };

  it('keeps what both need once on disk, and gives it without sending it', async () => {
    const layer = await make();
    expect(await linksOf(layer)).toBe(1);
    await images.push(name, {});
    expect(await linksOf(layer)).toBe(2);
    await images.remove(name, nobody);
    await expect(stat(blob(layer))).rejects.toThrow('ENOENT');
    const phases: string[] = [];
    const { id } = await images.pull(name, { onProgress: ({ digest, phase }) => phases.push(`${digest} ${phase}`) });
    expect(phases).toContain(`${layer} downloaded`);
    expect(await sentBlobs()).toBe(0);
    expect(await linksOf(layer)).toBe(2);
    expect((await images.rootfs(id, 'owner')).lowerDirectories).toHaveLength(1);
  });

  it('collects for each of the two what the other may need still', async () => {
    const layer = await make();
    await images.push(name, {});
    // The registry lets go: the image is whole.
    await registry.client.delete('/v2/team/app/manifests/1');
    expect(await registry.registry.collectGarbage({ grace: -1, untagged: true })).toMatchObject({
      manifests: 1,
      blobs: 3,
    });
    await images.collectGarbage();
    expect(await linksOf(layer)).toBe(1);
    await images.push(name, {});
    // The images let go: the registry serves it.
    await images.remove(name, nobody);
    await images.collectGarbage();
    const served = await registry.client.get(`/v2/team/app/blobs/${layer}`);
    expect(`sha256:${createHash('sha256').update(served.body).digest('hex')}`).toBe(layer);
    // Both do: it is gone.
    await registry.client.delete('/v2/team/app/manifests/1');
    expect((await registry.registry.collectGarbage({ grace: -1, untagged: true })).blobs).toBe(3);
    expect(await images.keptContent('registry').size(layer)).toBeUndefined();
  });

  it('has after a restart what it had before', async () => {
    const layer = await make();
    await images.push(name, {});
    await images.remove(name, nobody);
    await registry.registry[Symbol.asyncDispose]();
    await images[Symbol.asyncDispose]();
    images = await openImages(join(folder, 'images'));
    await images.collectGarbage();
    registry = await start();
    expect((await registry.client.head(`/v2/team/app/blobs/${layer}`)).status).toBe(200);
    expect((await registry.client.get('/v2/team/app/manifests/1')).status).toBe(200);
  });

  it('takes no layer for another that a peer calls by its digest', async () => {
    const layer = await make();
    const forged = await registry.client.send('POST', `/v2/team/forged/blobs/uploads/?digest=${layer}`, {
      body: 'other',
    });
    expect([forged.status, forged.code]).toEqual([400, 'DIGEST_INVALID']);
    expect(await linksOf(layer)).toBe(1);
  });
});
