import { once } from 'node:events';
import { readdir, symlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { imageManifest, sha256, TestRegistry } from './test-client.ts';

const files = async (registry: TestRegistry): Promise<string[]> =>
  (await readdir(registry.directory, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => entry.name)
    .sort();

it.each([
  '/v2/../etc/manifests/x',
  '/v2/a/../b/manifests/x',
  '/v2/a/%2e%2e/b/manifests/x',
  '/v2/%2Fetc/manifests/x',
  '/v2/a//b/manifests/x',
  '/v2/a/_blobs/manifests/x',
  '/v2/a%00b/manifests/x',
  `/v2/${'a/'.repeat(128)}a/manifests/x`,
  `/v2/${'a'.repeat(256)}/manifests/x`,
  '/v2/a\\..\\b/manifests/x',
  '/v2/a%0ab/manifests/x',
  '/v2/-a/manifests/x',
  '/v2/a./manifests/x',
])('takes %s for no repository', async (path) => {
  await using registry = await TestRegistry.start();
  const before = await files(registry);
  for (const method of ['GET', 'PUT', 'DELETE']) {
    const answer = await registry.client.send(method, path, { body: method === 'PUT' ? '{}' : undefined });
    expect(answer.code).toBe('NAME_INVALID');
  }
  expect((await registry.client.send('POST', `${path.replace(/manifests.*/, '')}blobs/uploads/`)).code).toBe(
    'NAME_INVALID',
  );
  expect(await files(registry)).toEqual(before);
});

it.each([
  '/v2/a/manifests/%2e%2e',
  '/v2/a/manifests/..%2f..%2fx',
  '/v2/a/blobs/uploads/%2e%2e',
  '/v2/%ff/manifests/x',
  '/v2/a/blobs/uploads/../../x',
])('finds nothing at %s', async (path) => {
  await using registry = await TestRegistry.start();
  expect([400, 404]).toContain((await registry.client.get(path)).status);
});

it('lets nobody go on with an upload of another repository', async () => {
  await using registry = await TestRegistry.start();
  const location = await registry.client.begin('mine');
  const other = location.replace('/mine/', '/theirs/');
  for (const method of ['GET', 'PATCH', 'PUT', 'DELETE'])
    expect((await registry.client.send(method, `${other}?digest=${sha256('')}`)).code).toBe('BLOB_UPLOAD_UNKNOWN');
  expect((await registry.client.get(location)).status).toBe(204);
});

it('refuses manifests that are too large or name too much', async () => {
  await using registry = await TestRegistry.start();
  const { client } = registry;
  const large = await client.pushManifest('a', 'x', `{"x":"${'x'.repeat(4 * 1024 * 1024)}"}`, 'application/json');
  expect([large.status, large.code]).toEqual([413, 'MANIFEST_INVALID']);
  const layers = Array.from({ length: 10_001 }, (_, index) => ({ digest: sha256(String(index)), size: 1 }));
  const wide = imageManifest({ digest: sha256('{}'), size: 2 }, ...layers);
  expect((await client.pushManifest('a', 'x', wide)).code).toBe('MANIFEST_INVALID');
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
  expect((await client.pushManifest('a', 'x', deep, 'application/json')).code).toBe('MANIFEST_INVALID');
});

it('ends a manifest whose length nobody said when it becomes too large', async () => {
  await using registry = await TestRegistry.start();
  const socket = connect(registry.client.port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write('PUT /v2/a/manifests/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n');
  const chunk = `10000\r\n${'x'.repeat(65_536)}\r\n`;
  let answer = '';
  socket.on('data', (data) => {
    answer += data;
  });
  for (let count = 0; count < 70 && answer === ''; count++) {
    if (!socket.write(chunk)) await Promise.race([once(socket, 'drain'), once(socket, 'close')]);
  }
  while (answer === '') await once(socket, 'data');
  expect(answer).toMatch(/^HTTP\/1\.1 413 /);
  socket.destroy();
});

it('keeps what came of an upload whose client left, and lets it go on', async () => {
  await using registry = await TestRegistry.start();
  const { client } = registry;
  const location = await client.begin('a');
  const range = async (): Promise<unknown> => (await client.send('PATCH', location, { body: '' })).headers.range;
  // The next request takes over from one whose connection hangs; it may come before that one's bytes have.
  let has: unknown;
  while (has !== '0-39') {
    const socket = connect(client.port, '127.0.0.1');
    const closed = once(socket, 'close');
    socket.write(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n${'x'.repeat(40)}`);
    has = await range();
    if (has === '0-39') await closed;
    else {
      socket.destroy();
      await closed;
      has = await range();
    }
  }
  const digest = sha256('x'.repeat(40) + 'end');
  expect((await client.send('PUT', `${location}?digest=${digest}`, { body: 'end' })).status).toBe(201);
});

it('forgets a whole blob that did not come whole', async () => {
  await using registry = await TestRegistry.start();
  const socket = connect(registry.client.port, '127.0.0.1');
  socket.write(`POST /v2/a/blobs/uploads/?digest=${sha256('x')} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nxxx`);
  const uploads = join(registry.directory, 'uploads');
  while ((await readdir(uploads)).length < 2) await new Promise((resolve) => setImmediate(resolve));
  socket.destroy();
  while ((await readdir(uploads)).length > 0) await new Promise((resolve) => setImmediate(resolve));
});

it('sends no whole answer when the reader stops, and closes the file', async () => {
  await using registry = await TestRegistry.start();
  const digest = await registry.client.pushBlob('a', Buffer.alloc(32 * 1024 * 1024, 1));
  const sockets = Array.from({ length: 8 }, () => connect(registry.client.port, '127.0.0.1'));
  for (const socket of sockets) {
    socket.write(`GET /v2/a/blobs/${digest} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await once(socket, 'data');
    socket.pause();
  }
  const open = async (): Promise<number> => {
    const { readlink } = await import('node:fs/promises');
    const found = await Promise.all(
      (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
    );
    return found.filter((path) => path.includes(digest.slice(7))).length;
  };
  expect(await open()).toBe(8);
  for (const socket of sockets) socket.destroy();
  while ((await open()) > 0) await new Promise((resolve) => setImmediate(resolve));
});

it('answers what is no HTTP with 400', async () => {
  await using registry = await TestRegistry.start();
  const socket = connect(registry.client.port, '127.0.0.1');
  socket.write('nonsense\r\n\r\n');
  const [data] = await once(socket, 'data');
  expect(String(data)).toMatch(/^HTTP\/1\.1 400/);
  socket.destroy();
});

it('takes no host of a client into its answers that is none', async () => {
  await using registry = await TestRegistry.start({ absoluteLocations: true });
  const answer = await registry.client.send('POST', '/v2/a/blobs/uploads/', { headers: { Host: 'evil"><script>' } });
  expect(answer.headers.location).toMatch(/^http:\/\/localhost\/v2\//);
});

it('goes around links that somebody put among the repositories', async () => {
  await using first = await TestRegistry.start();
  await first.client.pushBlob('a', 'x');
  await symlink('/', join(first.directory, 'repositories', 'root'));
  const again = await first.restart();
  await using _ = again;
  expect((await again.client.get('/v2/_catalog')).json().repositories).toEqual(['a']);
});
