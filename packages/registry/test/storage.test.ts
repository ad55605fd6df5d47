import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VirtualClock } from '@wherry/base';
import { mediaTypes } from '@wherry/oci';
import { describe, expect, it } from 'vitest';
import { FolderBlobs } from '../src/storage/folder-blobs.ts';
import { sendCommand } from '../src/storage/folder-lock.ts';
import { blobStoreContract } from './blob-store-contract.ts';
import { imageManifest, sha256, sha512, TestClient, TestRegistry } from './test-client.ts';

const hour = 60 * 60 * 1000;

blobStoreContract('a folder', async (folder) => new FolderBlobs(join(folder, 'blobs')));

describe('uploads', () => {
  it('go on after a restart, also by the other algorithm', async () => {
    let registry = await TestRegistry.start();
    const locations = [await registry.client.begin('a'), await registry.client.begin('a')];
    for (const location of locations) await registry.client.send('PATCH', location, { body: 'first ' });
    registry = await registry.restart();
    await using last = registry;
    for (const [index, digest] of [sha256('first second'), sha512('first second')].entries()) {
      const location = locations[index]!;
      expect((await last.client.get(location)).headers.range).toBe('0-5');
      const done = await last.client.send('PUT', `${location}?digest=${digest}`, { body: 'second' });
      expect(done.status).toBe(201);
      expect((await last.client.get(done.headers.location!)).body.toString()).toBe('first second');
    }
    expect(await readdir(join(last.directory, 'uploads'))).toEqual([]);
  });

  it('are unknown where a power cut took what they are', async () => {
    let registry = await TestRegistry.start();
    const location = await registry.client.begin('a');
    const id = location.split('/').at(-1)!;
    registry = await registry.restart();
    await using last = registry;
    await writeFile(join(last.directory, 'uploads', `${id}.json`), '');
    expect((await last.client.get(location)).code).toBe('BLOB_UPLOAD_UNKNOWN');
  });

  it('end when nothing came for long, and are bounded in number', async () => {
    const clock = new VirtualClock(Date.now());
    await using registry = await TestRegistry.start({ clock, mostUploads: 2, uploadLifetime: hour });
    const { client } = registry;
    const [old, young] = [await client.begin('a'), await client.begin('a')];
    const third = await client.send('POST', '/v2/a/blobs/uploads/');
    expect([third.status, third.code, third.headers['retry-after']]).toEqual([429, 'TOOMANYREQUESTS', '60']);
    await clock.advance(hour / 2);
    await client.send('PATCH', young, { body: 'x' });
    await clock.advance(hour / 2 + 1000);
    expect((await registry.registry.collectGarbage()).uploads).toBe(1);
    expect((await client.get(old)).status).toBe(404);
    expect((await client.get(young)).status).toBe(204);
  });
});

describe('quotas', () => {
  it('bound a repository', async () => {
    await using registry = await TestRegistry.start({ quotas: { repository: 100 } });
    const { client } = registry;
    const first = await client.pushBlob('a', Buffer.alloc(60, 1));
    const refused = await client.send('POST', `/v2/a/blobs/uploads/?digest=${sha256(Buffer.alloc(60, 2))}`, {
      body: Buffer.alloc(60, 2),
    });
    expect([refused.status, refused.code]).toEqual([403, 'DENIED']);
    expect(refused.json().errors[0]!.message).toContain('quota of repository a');
    const chunked = await client.begin('a');
    expect((await client.send('PATCH', chunked, { body: Buffer.alloc(30, 3) })).status).toBe(202);
    expect((await client.send('PATCH', chunked, { body: Buffer.alloc(30, 3) })).code).toBe('DENIED');
    await client.delete(`/v2/a/blobs/${first}`);
    await client.pushBlob('a', Buffer.alloc(60, 2));
    await client.pushBlob('b', Buffer.alloc(100, 2));
  });

  it('bound the whole, where shared content counts once', async () => {
    await using registry = await TestRegistry.start({ quotas: { total: 100 } });
    const { client } = registry;
    const digest = await client.pushBlob('a', Buffer.alloc(60, 1));
    expect((await client.send('POST', `/v2/b/blobs/uploads/?mount=${digest}&from=a`)).status).toBe(201);
    const refused = await client.send('POST', `/v2/b/blobs/uploads/?digest=${sha256(Buffer.alloc(60, 2))}`, {
      body: Buffer.alloc(60, 2),
    });
    expect([refused.status, refused.code]).toEqual([403, 'DENIED']);
  });

  it('bound one blob', async () => {
    await using registry = await TestRegistry.start({ quotas: { blob: 10 } });
    const answer = await registry.client.send('PATCH', await registry.client.begin('a'), { body: 'x'.repeat(11) });
    expect([answer.status, answer.code]).toEqual([413, 'SIZE_INVALID']);
  });
});

describe('garbage collection', () => {
  const start = async () => {
    const clock = new VirtualClock(Date.now());
    const registry = await TestRegistry.start({ clock, collection: { interval: 0, grace: hour } });
    return { clock, registry, client: registry.client };
  };
  const blobs = async (registry: TestRegistry): Promise<string[]> =>
    (await readdir(join(registry.directory, 'blobs'), { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => `sha256:${entry.name}`);

  it('keeps what manifests name and what is young, and removes the rest', async () => {
    const { clock, registry, client } = await start();
    await using _ = registry;
    const image = await client.pushImage('a', 'v1');
    const orphan = await client.pushBlob('a', 'orphan');
    await client.pushBlob('orphans', 'orphan');
    expect(await registry.registry.collectGarbage()).toMatchObject({ links: 0, blobs: 0 });
    await clock.advance(2 * hour);
    const young = await client.pushBlob('a', 'young');
    expect(await registry.registry.collectGarbage()).toEqual({
      manifests: 0,
      links: 2,
      blobs: 1,
      bytes: 6,
      uploads: 0,
    });
    expect((await client.get(`/v2/a/blobs/${orphan}`)).status).toBe(404);
    expect((await client.get('/v2/_catalog')).json().repositories).toEqual(['a']);
    expect((await blobs(registry)).sort()).toEqual([image.config, image.layer, image.digest, young].sort());
    await client.delete(`/v2/a/manifests/${image.digest}`);
    await clock.advance(2 * hour);
    await registry.registry.collectGarbage();
    expect(await blobs(registry)).toEqual([]);
    expect(await readdir(join(registry.directory, 'repositories'))).toEqual([]);
  });

  it('keeps a blob that somebody was told is there', async () => {
    const { clock, registry, client } = await start();
    await using _ = registry;
    const digest = await client.pushBlob('a', 'asked for');
    await clock.advance(2 * hour);
    expect((await client.head(`/v2/a/blobs/${digest}`)).status).toBe(200);
    await registry.registry.collectGarbage();
    expect((await client.get(`/v2/a/blobs/${digest}`)).status).toBe(200);
  });

  it('removes untagged manifests only where it is told to, and none that tags lead to', async () => {
    const { clock, registry, client } = await start();
    await using _ = registry;
    const moved = await client.pushImage('a', 'v1', 'old');
    const child = await client.pushImage('a', 'child', 'child');
    const index = {
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: [{ mediaType: mediaTypes.ociManifest, digest: child.digest, size: child.size }],
    };
    await client.pushManifest('a', 'index', index);
    await client.delete('/v2/a/manifests/child');
    const subject = { mediaType: mediaTypes.ociManifest, digest: child.digest, size: child.size };
    const signature = { ...imageManifest({ digest: child.config, size: 1 }), subject };
    const signed = sha256(JSON.stringify(signature));
    await client.pushManifest('a', signed, signature);
    await client.pushImage('a', 'v1', 'new');
    await clock.advance(2 * hour);
    expect(await registry.registry.collectGarbage()).toMatchObject({ manifests: 0 });
    expect((await client.get(`/v2/a/manifests/${moved.digest}`)).status).toBe(200);
    expect(await registry.registry.collectGarbage({ untagged: true })).toMatchObject({ manifests: 1, links: 1 });
    expect((await client.get(`/v2/a/manifests/${moved.digest}`)).status).toBe(404);
    for (const reference of ['v1', 'index', child.digest, signed])
      expect((await client.get(`/v2/a/manifests/${reference}`)).status).toBe(200);
  });

  it('loses nothing that is pushed meanwhile', async () => {
    await using registry = await TestRegistry.start();
    const { client } = registry;
    let stopped = false;
    let pushed = (): void => undefined;
    const collecting = (async () => {
      let runs = 0;
      for (; !stopped; runs++) {
        // Each begins after a push, so that they do not take from each other for ever.
        const next = new Promise<void>((resolve) => {
          pushed = resolve;
        });
        await registry.registry.collectGarbage({ grace: 0, untagged: true });
        await next;
      }
      return runs;
    })();
    const pushes = Array.from({ length: 4 }, async (_, worker) => {
      for (let round = 0; round < 10; round++) {
        // A client pushes again what a collection took between its blob and its manifest.
        for (let attempt = 0; ; attempt++) {
          try {
            await client.pushImage(`w${worker % 2}`, `t${worker}-${round}`, `shared ${round}`);
            pushed();
            break;
          } catch (error) {
            if (attempt === 100 || !String(error).includes('MANIFEST_BLOB_UNKNOWN')) throw error;
          }
        }
      }
    });
    await Promise.all(pushes);
    stopped = true;
    pushed();
    expect(await collecting).toBeGreaterThan(0);
    for (let worker = 0; worker < 4; worker++)
      for (let round = 0; round < 10; round++) {
        const manifest = await client.get(`/v2/w${worker % 2}/manifests/t${worker}-${round}`);
        expect(manifest.status).toBe(200);
        const layer = JSON.parse(manifest.body.toString()).layers[0].digest as string;
        expect((await client.get(`/v2/w${worker % 2}/blobs/${layer}`)).body.toString()).toBe(`shared ${round}`);
      }
  });

  it('runs by itself, and when another process asks for it', async () => {
    const clock = new VirtualClock(Date.now());
    await using registry = await TestRegistry.start({ clock, collection: { interval: 3 * hour, grace: hour } });
    const digest = await registry.client.pushBlob('a', 'x');
    await clock.advance(2 * hour);
    expect(await sendCommand(registry.directory, 'gc')).toMatchObject({ blobs: 1 });
    expect((await registry.client.get(`/v2/a/blobs/${digest}`)).status).toBe(404);
    await registry.client.pushBlob('b', 'y');
    // The next one is due some time after the one before has ended, which takes real time.
    const repositories = async () => (await registry.client.get('/v2/_catalog')).json().repositories;
    while ((await repositories()).length > 0) await clock.advance(hour);
  });
});

describe('the folder', () => {
  it('is one process’s', async () => {
    await using registry = await TestRegistry.start();
    await expect(TestRegistry.start({ directory: registry.directory })).rejects.toMatchObject({ code: 'unavailable' });
    expect((await registry.client.get('/v2/')).status).toBe(200);
  });

  it('of a later version is refused', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'wherry-registry-'));
    await writeFile(join(directory, 'registry.json'), '{"version":2}');
    await expect(TestRegistry.start({ directory })).rejects.toMatchObject({ code: 'unsupported' });
    await rm(directory, { recursive: true });
  });

  it('gives no manifest that the disk has spoilt', async () => {
    await using registry = await TestRegistry.start();
    const { digest } = await registry.client.pushImage('a', 'v1');
    const hex = digest.slice(7);
    const path = join(registry.directory, 'blobs', 'sha256', hex.slice(0, 2), hex);
    const content = await readFile(path);
    const file = await open(path, 'r+');
    await file.write(Buffer.from([content[0]! ^ 1]), 0, 1, 0);
    await file.close();
    expect((await registry.client.get('/v2/a/manifests/v1')).status).toBe(500);
  });

  it('removes tags whose manifest is gone', async () => {
    await using registry = await TestRegistry.start();
    await registry.client.pushImage('a', 'v1');
    await writeFile(
      join(registry.directory, 'repositories/a/_tags/dangling'),
      JSON.stringify({ digest: sha256('x'), taggedAt: 0 }),
    );
    expect((await registry.client.get('/v2/a/manifests/dangling')).status).toBe(404);
    await registry.registry.collectGarbage();
    expect((await registry.client.get('/v2/a/tags/list')).json().tags).toEqual(['v1']);
  });

  it('is whole after kill -9 at any moment of pushes and collections', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'wherry-registry-'));
    const program = join(directory, 'program.mjs');
    const { build } = await import('esbuild');
    await build({
      stdin: {
        contents: `import { createRegistry } from ${JSON.stringify(join(import.meta.dirname, '../src/index.ts'))};
          const registry = await createRegistry({ directory: process.argv[2], collection: { interval: 0 } });
          const { port } = await registry.listen();
          console.log(port);
          for (;;) await registry.collectGarbage({ grace: 0 });`,
        resolveDir: import.meta.dirname,
      },
      outfile: program,
      bundle: true,
      format: 'esm',
      platform: 'node',
      banner: { js: "import{createRequire as r}from'node:module';const require=r(import.meta.url);" },
    });
    const root = join(directory, 'root');
    const pushed = new Map<string, string>();
    for (let round = 0; round < 5; round++) {
      const child = spawn(process.execPath, [program, root], { stdio: ['ignore', 'pipe', 'inherit'] });
      const exited = once(child, 'exit');
      const [line] = await once(child.stdout, 'data');
      const client = new TestClient(Number(String(line)));
      const pushing = (async () => {
        for (let count = 0; ; count++) {
          const tag = `r${round}-${count}`;
          try {
            pushed.set(tag, (await client.pushImage('a', tag, `layer ${tag}`)).layer);
          } catch (error) {
            if (!String(error).includes('MANIFEST_BLOB_UNKNOWN')) return;
          }
          if (count === 3 + round * 3) child.kill('SIGKILL');
        }
      })();
      await exited;
      await pushing;
    }
    await using registry = await TestRegistry.start({ directory: root, uploadLifetime: 0 });
    expect(pushed.size).toBeGreaterThan(0);
    for (const [tag, layer] of pushed) {
      expect((await registry.client.get(`/v2/a/manifests/${tag}`)).status).toBe(200);
      expect((await registry.client.get(`/v2/a/blobs/${layer}`)).body.toString()).toBe(`layer ${tag}`);
    }
    expect(await readdir(join(root, 'temporary'))).toEqual([]);
    await registry.registry.collectGarbage({ grace: 0 });
    expect(await readdir(join(root, 'uploads'))).toEqual([]);
    await rm(directory, { recursive: true, force: true });
  });
});
