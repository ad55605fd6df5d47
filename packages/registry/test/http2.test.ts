import { once } from 'node:events';
import { mkdtemp, readdir, readlink, rm } from 'node:fs/promises';
import { constants } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Http2Client } from './http2-client.ts';
import { endsStream, framesOfUnendingRequest, frameTypes } from './http2-frames.ts';
import { sha256, TestRegistry } from './test-client.ts';

// What goes wrong with one stream of a connection by HTTP/2 is that one's.

let folder: string;
let registry: TestRegistry;
let client: Http2Client;
const logged: object[] = [];
const write = (message: string, fields: object = {}) => logged.push({ message, ...fields });
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wherry-registry-http2-'));
  const log = { debug: () => {}, info: write, warn: write, error: write, with: () => log };
  registry = await TestRegistry.start({ log });
  client = await Http2Client.connect(registry, folder);
});
afterAll(async () => {
  client[Symbol.dispose]();
  await registry[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

it('asks who sends what is refused to stop, and takes the rest', async () => {
  const location = await client.begin('a');
  const upload = client.open('PATCH', location);
  upload.write(Buffer.alloc(100_000, 1));
  const refused = client.open('PUT', '/v2/a/manifests/v1', { 'content-type': 'application/json' });
  refused.on('error', () => undefined);
  refused.resume();
  const answered = once(refused, 'response');
  const closed = once(refused, 'close');
  // It goes on for as long as somebody takes it.
  const piece = Buffer.alloc(64 * 1024, 32);
  const pump = (): void => {
    while (!refused.closed && refused.write(piece));
  };
  refused.on('drain', pump);
  pump();
  await closed;
  const [{ ':status': status }] = (await answered) as [{ ':status': number }];
  expect([status, refused.rstCode]).toEqual([413, constants.NGHTTP2_NO_ERROR]);
  const taken = once(upload, 'response');
  upload.resume().end(Buffer.alloc(100_000, 2));
  expect(((await taken) as [{ ':status': number }])[0][':status']).toBe(202);
  const digest = sha256(Buffer.concat([Buffer.alloc(100_000, 1), Buffer.alloc(100_000, 2)]));
  expect((await client.send('PUT', `${location}?digest=${digest}`)).status).toBe(201);
});

it('ends its answer before it asks who sends to stop', async () => {
  // Not even a byte of the body is wanted: there is no such upload.
  const frames = await framesOfUnendingRequest(client.port, 'PATCH', '/v2/a/blobs/uploads/none', Buffer.alloc(100));
  const types = frames.filter((frame) => endsStream(frame) || frame.type === frameTypes.resetStream);
  expect(types.map((frame) => (endsStream(frame) ? 'end' : 'reset'))).toEqual(['end', 'reset']);
});

it('closes what a reader leaves, and sends the others theirs', async () => {
  const digest = await client.pushBlob('a', Buffer.alloc(32 * 1024 * 1024, 3));
  const path = `/v2/a/blobs/${digest}`;
  const readers = Array.from({ length: 4 }, () => client.open('GET', path));
  for (const reader of readers) reader.on('error', () => undefined);
  await Promise.all(readers.map((reader) => once(reader, 'response')));
  const open = async (): Promise<number> => {
    const files = (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => ''));
    return (await Promise.all(files)).filter((path) => path.includes(digest.slice(7))).length;
  };
  expect(await open()).toBe(4);
  for (const reader of readers) reader.close(constants.NGHTTP2_CANCEL);
  while ((await open()) > 0) await new Promise((resolve) => setImmediate(resolve));
  expect(sha256((await client.get(path)).body)).toBe(digest);
});

it('keeps what came of an upload whose stream was reset', async () => {
  const location = await client.begin('a');
  const cut = client.open('PATCH', location);
  cut.on('error', () => undefined);
  cut.write(Buffer.alloc(50_000, 4), () => cut.close(constants.NGHTTP2_CANCEL));
  await once(cut, 'close');
  const asked = await client.send('PATCH', location, { body: '' });
  const has = asked.headers.range === '0-0' ? 0 : Number((asked.headers.range as string).slice(2)) + 1;
  const rest = Buffer.alloc(60_000 - has, 4);
  const digest = sha256(Buffer.alloc(60_000, 4));
  expect((await client.send('PUT', `${location}?digest=${digest}`, { body: rest })).status).toBe(201);
});

it('says in its log who asked', async () => {
  await client.get('/v2/who/manifests/asked');
  const path = '/v2/who/manifests/asked';
  while (!logged.some((line) => (line as { path?: string }).path === path))
    await new Promise((done) => setImmediate(done));
  expect(logged).toContainEqual(expect.objectContaining({ path, status: 404, client: '127.0.0.1' }));
});
