import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { ImageStore } from '../src/index.ts';
import { bytesOf, file, fresh, mounts, nobody, open, stream, tarOf } from './scratch.ts';

const namesIn = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder) : []);

/** What `docker save` writes of an image of one file. */
async function archiveOf(content: Buffer, name: string): Promise<Buffer> {
  await using store = await open();
  await store.createImage({
    config: { author: name },
    layers: [{ entries: [file('f', content)] }],
    references: [name],
  });
  return await bytesOf(store.save([name]));
}

async function commit(store: ImageStore, content: Buffer, adopt: boolean): ReturnType<ImageStore['commitLayer']> {
  const upper = fresh();
  mkdirSync(upper);
  writeFileSync(join(upper, 'f'), content);
  return await store.commitLayer({ upper, base: [], adopt });
}

describe('on a full disk', () => {
  it('fails with the reason, leaves nothing of it, and goes on once there is room', async () => {
    const directory = fresh();
    mkdirSync(directory);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=12m', 'tmpfs', directory]);
    mounts.push(directory);
    await using store = await open({ directory });
    const small = [{ entries: [file('s', randomBytes(2_000_000))] }];
    await store.createImage({ config: {}, layers: small, references: ['small:1'] });
    const full = { code: 'exhausted' };
    const large = [{ entries: [file('l', randomBytes(20_000_000))] }];
    await expect(store.createImage({ config: {}, layers: large, references: ['large:1'] })).rejects.toMatchObject(full);
    // The blob fits, its unpacked form does not.
    const middle = [{ entries: [file('m', randomBytes(6_000_000))] }];
    await expect(store.createImage({ config: {}, layers: middle, references: ['m:1'] })).rejects.toMatchObject(full);
    await expect(commit(store, randomBytes(20_000_000), true)).rejects.toMatchObject(full);
    // An archive that does not fit, and one that fits while its layer does not once it is unpacked beside it.
    for (const size of [20_000_000, 5_000_000]) {
      const loading = store.load(stream(await archiveOf(randomBytes(size), `loaded:${size}`)));
      await expect(loading).rejects.toMatchObject({ ...full, message: 'the disk of the image store is full' });
    }
    await store.collectGarbage();
    expect(namesIn(join(directory, 'ingest'))).toEqual([]);
    expect(namesIn(join(directory, 'layers')).filter((name) => name.startsWith('.unpack'))).toEqual([]);
    expect(namesIn(join(directory, 'blobs/sha256'))).toHaveLength(3);
    expect((await store.summaries()).flatMap(({ names }) => names)).toEqual(['docker.io/library/small:1']);
    // Names are kept and given up even when not a byte is free.
    writeFileSync(join(directory, 'small'), Buffer.alloc(1));
    await store.remove('small:1', nobody);
    await store.createImage({
      config: {},
      layers: [{ entries: [file('m', randomBytes(4_000_000))] }],
      references: ['m:1'],
    });
    expect((await store.summaries()).flatMap(({ names }) => names)).toEqual(['docker.io/library/m:1']);
  });
});

describe('what is larger than it says', () => {
  it('is refused before it fills the disk', async () => {
    const directory = fresh();
    const largestLayer = { bytes: 1_000_000, entries: 1000 };
    await using store = await open({ directory, largestLayer });
    const bomb = gzipSync(await tarOf([file('bomb', Buffer.alloc(50_000_000))]));
    await expect(store.load(stream(bomb))).rejects.toMatchObject({ code: 'tooLarge' });
    await expect(store.importImage(stream(bomb))).rejects.toMatchObject({ code: 'tooLarge' });
    expect(namesIn(join(directory, 'ingest'))).toEqual([]);
  });
});

describe('collections', () => {
  it('take nothing that work under way needs', async () => {
    const directory = fresh();
    await using store = await open({ directory });
    let busy = true;
    const collecting = (async () => {
      for (let n = 0; busy; n++) {
        await store.collectGarbage();
        if (n % 5 === 0) await store.prune({ all: false, filter: () => true, ...nobody });
      }
    })();
    const shared = randomBytes(100_000);
    const work = Array.from({ length: 4 }, async (_, worker) => {
      for (let n = 0; n < 8; n++) {
        const name = `w${worker}:${n}`;
        // All of them commit and drop the same first layer.
        using one = (await commit(store, shared, n % 2 === 0))!;
        const own = Buffer.from(`${worker}-${n}`);
        using two = (await commit(store, own, n % 2 === 1))!;
        const config = { architecture: 'amd64', os: 'linux', author: name };
        const second = { ...two, chainId: two.chainId };
        const { id } = await store.assemble({ config, layers: [one], references: [name] });
        await store.assemble({ config, layers: [second], references: [`${name}-second`] });
        const { lowerDirectories } = await store.rootfs(id, `owner${worker}`);
        await store.remove(name, { ...nobody, force: true });
        // Held, though the image went.
        expect(readFileSync(join(lowerDirectories[0]!, 'f')).equals(shared)).toBe(true);
        await store.release(`owner${worker}`);
        const kept = await store.rootfs(`${name}-second`, `kept${worker}`);
        expect(readFileSync(join(kept.lowerDirectories[0]!, 'f')).equals(own)).toBe(true);
      }
    });
    // And others load, save, import and drop one image with a layer that all of them share.
    const archive = await archiveOf(shared, 'shared:1');
    const moving = Array.from({ length: 3 }, async (_, mover) => {
      for (let n = 0; n < 6; n++) {
        await store.load(stream(archive));
        const saved: Uint8Array[] = [];
        try {
          for await (const chunk of store.save(['shared:1'])) saved.push(chunk);
          expect(Buffer.concat(saved).includes(shared)).toBe(true);
          const { lowerDirectories } = await store.rootfs('shared:1', `mover${mover}`);
          expect(readFileSync(join(lowerDirectories[0]!, 'f')).equals(shared)).toBe(true);
          await store.release(`mover${mover}`);
          await store.remove('shared:1', { ...nobody, force: true });
        } catch (error) {
          // Another one dropped it: whole, and nothing but that.
          expect(error).toMatchObject({ code: 'notFound' });
        }
        const name = `imported:${mover}`;
        await store.importImage(stream(await tarOf([file('f', shared)])), { message: `${n}`, references: [name] });
        await store.remove(name, nobody);
      }
    });
    await Promise.all([...work, ...moving]);
    busy = false;
    await collecting;
    expect(await store.summaries()).toHaveLength(32);
    for (let worker = 0; worker < 4; worker++) await store.release(`kept${worker}`);
    await store.prune({ all: true, filter: () => true, ...nobody });
    expect(namesIn(join(directory, 'layers')).filter((name) => name !== '.empty')).toEqual([]);
    expect(namesIn(join(directory, 'blobs', 'sha256'))).toEqual([]);
  });
});
