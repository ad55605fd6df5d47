import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { silentLogger, systemClock } from '@wherry/base';
import { openImageStore } from '@wherry/images';
import { mediaTypes } from '@wherry/oci';
import { hashSync } from 'bcryptjs';
import { describe, expect, it } from 'vitest';
import { startOn, storages } from './storages.ts';
import { imageManifest, sha256, type TestClient, TestRegistry } from './test-client.ts';

/** Sends the beginning of a body, and cuts the connection once the registry has read all of it. */
async function cutOff(client: TestClient, method: string, path: string, begin: Buffer, rest: number): Promise<void> {
  const socket = connect(client.port, '127.0.0.1');
  socket.on('error', () => undefined);
  const closed = once(socket.resume(), 'close');
  const length = begin.length + rest;
  const type = `Content-Type: ${mediaTypes.ociManifest}`;
  socket.write(`${method} ${path} HTTP/1.1\r\nHost: x\r\n${type}\r\nContent-Length: ${length}\r\n\r\n`);
  await new Promise((resolve) => socket.end(begin, () => resolve(undefined)));
  await closed;
}

describe.each(storages)('content in %s', (storage) => {
  it('takes nothing that was cut off, and goes on where it was', async () => {
    await using registry = await startOn(storage);
    const { client, directory } = registry.served;
    const content = Buffer.alloc(3_000_000, 'cut ');
    const digest = sha256(content);
    const begin = content.subarray(0, 1_500_000);
    await cutOff(client, 'POST', `/v2/a/blobs/uploads/?digest=${digest}`, begin, content.length - begin.length);
    const location = await client.begin('a');
    await cutOff(client, 'PUT', `${location}?digest=${digest}`, begin, content.length - begin.length);
    expect((await client.head(`/v2/a/blobs/${digest}`)).status).toBe(404);
    const asked = await client.send('PATCH', location, { body: '' });
    const has = asked.headers.range === '0-0' ? 0 : Number(/^0-(\d+)$/.exec(asked.headers.range as string)![1]) + 1;
    expect([asked.status, has <= begin.length]).toEqual([202, true]);
    const done = await client.send('PUT', `${location}?digest=${digest}`, { body: content.subarray(has) });
    expect(done.status).toBe(201);
    expect(sha256((await client.get(`/v2/a/blobs/${digest}`)).body)).toBe(digest);
    const manifest = Buffer.from(JSON.stringify(imageManifest({ digest, size: content.length })));
    await cutOff(client, 'PUT', '/v2/a/manifests/v1', manifest.subarray(0, -1), 1);
    expect((await client.head('/v2/a/manifests/v1')).status).toBe(404);
    expect((await client.get('/v2/a/tags/list')).json().tags).toEqual([]);
    expect(await readdir(join(directory, 'temporary'))).toEqual([]);
    while ((await readdir(join(directory, 'uploads'))).length > 0)
      await new Promise((resolve) => setImmediate(resolve));
  });

  it('gives a blob to a thousand who come at once', async () => {
    await using registry = await startOn(storage);
    const { client } = registry.served;
    const content = Buffer.alloc(20_000, 'many ');
    const digest = await client.pushBlob('a', content);
    const answers = await Promise.all(Array.from({ length: 1000 }, () => client.get(`/v2/a/blobs/${digest}`)));
    expect(new Set(answers.map(({ status, body }) => `${status} ${sha256(body)}`))).toEqual(new Set([`200 ${digest}`]));
  });

  it('gives a large blob to many at once, whole and in parts, while others go away', async () => {
    await using registry = await startOn(storage);
    const { client } = registry.served;
    const content = randomBytes(8_000_000);
    const digest = await client.pushBlob('a', content);
    const path = `/v2/a/blobs/${digest}`;
    const leaver = async (): Promise<void> => {
      const socket = connect(client.port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
      await once(socket, 'readable');
      socket.destroy();
    };
    const part = async (n: number): Promise<void> => {
      const [first, last] = [n * 100_001, content.length - 1 - n * 70_001];
      const { status, body } = await client.get(path, { Range: `bytes=${first}-${last}` });
      expect([status, sha256(body)]).toEqual([206, sha256(content.subarray(first, last + 1))]);
    };
    const whole = async (): Promise<void> => expect(sha256((await client.get(path)).body)).toBe(digest);
    await Promise.all(Array.from({ length: 24 }, (_, n) => [leaver, whole, () => part(n)][n % 3]!()));
    await whole();
  });

  it('collects beside pushes of the same layers to several repositories, and mounts of them', async () => {
    await using registry = await startOn(storage);
    const { client, registry: server } = registry.served;
    let stopped = false;
    let pushed = (): void => undefined;
    const collecting = (async () => {
      while (!stopped) {
        // Each begins after a push, so that they do not take from each other for ever.
        const next = new Promise<void>((resolve) => {
          pushed = resolve;
        });
        await server.collectGarbage({ grace: 0, untagged: true });
        await next;
      }
    })();
    const again = async (work: () => Promise<boolean>): Promise<void> => {
      // A client sends again what a collection took between its blob and its manifest.
      for (let attempt = 0; !(await work()); attempt++) expect(attempt).toBeLessThan(100);
    };
    const pushers = Array.from({ length: 4 }, async (_, pusher) => {
      for (let round = 0; round < 8; round++) {
        const layer = `layer ${round}`;
        await again(async () => {
          const source = `v2/r${(pusher + 1) % 4}`;
          const mounted = await client.send(
            'POST',
            `/v2/r${pusher}/blobs/uploads/?mount=${sha256(layer)}&from=${source}`,
          );
          if (mounted.status !== 201) await client.pushBlob(`r${pusher}`, layer);
          const config = await client.pushBlob(`r${pusher}`, `config ${round}`);
          const manifest = imageManifest({ digest: config, size: 8 }, { digest: sha256(layer), size: layer.length });
          const { status } = await client.pushManifest(`r${pusher}`, `v${round % 3}`, manifest);
          if (status === 201) pushed();
          return status === 201;
        });
      }
    });
    await Promise.all(pushers);
    stopped = true;
    pushed();
    await collecting;
    await server.collectGarbage({ grace: 0, untagged: true });
    for (let pusher = 0; pusher < 4; pusher++)
      for (let round = 5; round < 8; round++) {
        const found = await client.get(`/v2/r${pusher}/manifests/v${round % 3}`);
        const { config, layers } = JSON.parse(found.body.toString()) as {
          config: { digest: string };
          layers: { digest: string }[];
        };
        for (const { digest } of [config, ...layers])
          expect(sha256((await client.get(`/v2/r${pusher}/blobs/${digest}`)).body)).toBe(digest);
      }
  });
});

it('takes a push whose token ends while it is under way', async () => {
  let later = 0;
  const clock = { ...systemClock, now: () => systemClock.now() + later, after: systemClock.after.bind(systemClock) };
  await using users = await TestRegistry.start();
  const htpasswd = join(users.directory, 'htpasswd');
  await writeFile(htpasswd, `alice:${hashSync('secret', 4)}\n`);
  await using registry = await TestRegistry.start({ clock, auth: { htpasswd, tokens: true } });
  await using images = await openImageStore({ directory: join(users.directory, 'images'), log: silentLogger });
  const name = `${registry.url.replace('http://', '')}/team/app:1`;
  const layers = Array.from({ length: 12 }, (_, index) => ({
    entries: [{ name: `file${index}`, type: 'file', mode: 0o644, content: Buffer.alloc(100_000, `${index}`) } as const],
  }));
  await images.createImage({ config: {}, layers, compression: 'gzip', references: [name] });
  let pushed = 0;
  const auth = { username: 'alice', password: 'secret' };
  const onProgress = ({ phase }: { readonly phase: string }): void => {
    // An hour goes by while other layers are on their way.
    if (phase === 'pushed' && ++pushed === 3) later = 3600_000;
  };
  expect(await images.push(name, { auth, onProgress })).toHaveLength(1);
  expect(pushed).toBe(12);
  const { digest } = await images.pull(name, { auth });
  expect(digest).toMatch(/^sha256:/);
});
