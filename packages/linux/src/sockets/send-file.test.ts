import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { deferred } from '@wherry/base';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { plainDescriptorOf, sendFile } from './send-file.ts';

const content = randomBytes(30_000_000);
let folder: string;
let file: FileHandle;
let server: Server;
let onConnection: (socket: Socket) => void;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'send-file-'));
  writeFileSync(join(folder, 'file'), content);
  file = await open(join(folder, 'file'));
  server = createServer((socket) => onConnection(socket)).listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterAll(async () => {
  server.close();
  await file.close();
  rmSync(folder, { recursive: true });
});

/** A reader, and the server's end of the same connection. */
async function connection(): Promise<{ reader: Socket; socket: Socket }> {
  const accepted = deferred<Socket>();
  onConnection = (socket) => {
    socket.on('error', () => undefined);
    accepted.resolve(socket);
  };
  const reader = connect((server.address() as AddressInfo).port, '127.0.0.1');
  return { reader, socket: await accepted.promise };
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const descriptors = (): number => readdirSync('/proc/self/fd').length;

it('sends a part of a file, also to readers that are slow', async () => {
  const before = descriptors();
  const pairs: Awaited<ReturnType<typeof connection>>[] = [];
  while (pairs.length < 6) pairs.push(await connection());
  const readers = pairs.map(async ({ reader, socket }, n) => {
    const [start, end] = [n * 1001, content.length - n * 777];
    let told = 0;
    const sending = sendFile(socket, file.fd, { start, end, onSent: (bytes) => (told += bytes) }).then((whole) => {
      socket.end();
      return whole;
    });
    const hash = createHash('sha256');
    let count = 0;
    for await (const chunk of reader) {
      hash.update(chunk as Buffer);
      // Longer than the kernel's buffers last.
      if (n % 2 === 1 && count++ < 3) await delay(20);
    }
    expect(await sending).toBe(true);
    expect(told).toBe(end - start);
    expect(hash.digest('hex')).toBe(sha256(content.subarray(start, end)));
  });
  await Promise.all(readers);
  await expect.poll(descriptors).toBeLessThanOrEqual(before);
});

it('ends when the reader has gone, or our own end is closed', async () => {
  const before = descriptors();
  for (const which of ['reader', 'socket'] as const) {
    const pair = await connection();
    pair.reader.on('error', () => undefined);
    // It never reads: the buffers are full.
    pair.reader.pause();
    const begun = deferred<void>();
    const sending = sendFile(pair.socket, file.fd, { start: 0, end: content.length, onSent: () => begun.resolve() });
    await begun.promise;
    pair[which].destroy();
    expect(await sending).toBe(false);
    pair.reader.destroy();
    pair.socket.destroy();
  }
  await expect.poll(descriptors).toBeLessThanOrEqual(before);
});

it('keeps a connection from seeming idle while its reader takes something', async () => {
  const { reader, socket } = await connection();
  socket.setTimeout(300, () => socket.destroy());
  const sending = sendFile(socket, file.fd, { start: 0, end: content.length, onSent: () => undefined });
  const began = performance.now();
  let [count, pauses] = [0, 0];
  for await (const chunk of reader) {
    count += (chunk as Buffer).length;
    if (count > pauses * 2_000_000) {
      pauses++;
      await delay(60);
    }
    if (count === content.length) break;
  }
  expect(await sending).toBe(true);
  expect(performance.now() - began).toBeGreaterThan(600);
  expect(count).toBe(content.length);
  // And it is idle afterwards.
  await once(socket, 'close');
});

it('ends when our own end is closed while a thread is at work', async () => {
  for (let round = 0; round < 20; round++) {
    const { reader, socket } = await connection();
    reader.on('error', () => undefined).pause();
    const sending = sendFile(socket, file.fd, { start: 0, end: content.length, onSent: () => undefined });
    for (let turn = 0; turn < round; turn++) await new Promise((resolve) => setImmediate(resolve));
    socket.destroy();
    expect(await sending).toBe(false);
    reader.destroy();
  }
});

it('says that a file is shorter than it was', async () => {
  writeFileSync(join(folder, 'short'), content.subarray(0, 100_000));
  const short = await open(join(folder, 'short'));
  truncateSync(join(folder, 'short'), 60_000);
  const { reader, socket } = await connection();
  reader.resume();
  const options = { start: 0, end: 100_000, onSent: () => undefined };
  await expect(sendFile(socket, short.fd, options)).rejects.toMatchObject({ code: 'corrupt' });
  await short.close();
  socket.destroy();
});

it('refuses a connection that has ended', async () => {
  const { reader, socket } = await connection();
  reader.destroy();
  socket.destroy();
  expect(plainDescriptorOf(socket)).toBeUndefined();
  const options = { start: 0, end: 1, onSent: () => undefined };
  await expect(sendFile(socket, file.fd, options)).rejects.toMatchObject({ code: 'unsupported' });
});
