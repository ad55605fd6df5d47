import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Connections, type RegistryResponse, readBody } from './request.ts';
import type { FileBody, StreamBody } from './send-body.ts';

const content = randomBytes(30_000_000);
let folder: string;
let path: string;
let server: Server;
let onRequest: (request: IncomingMessage) => Promise<void>;
const received: Buffer[] = [];
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'send-body-'));
  path = join(folder, 'blob');
  writeFileSync(path, content);
  server = createServer((request, response) => {
    received.length = 0;
    onRequest(request).then(
      () => response.end(request.headers['content-length'] ?? request.headers['transfer-encoding']),
      () => response.destroy(),
    );
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true });
});

async function send(body: FileBody | StreamBody, patience?: number): Promise<RegistryResponse> {
  using connections = new Connections();
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  const { signal } = new AbortController();
  const response = await connections.send({ method: 'PUT', url, headers: {}, body, signal, patience });
  // Before the connections are closed.
  const text = (await readBody(response, 1000)).toString();
  return { ...response, headers: { ...response.headers, text } };
}

const readAll = async (request: IncomingMessage): Promise<void> => {
  for await (const piece of request) received.push(piece as Buffer);
};

it('sends a part of a file, and says how much it sent', async () => {
  onRequest = readAll;
  for (const [start, end] of [
    [0, content.length],
    [1_000_001, 29_000_000],
    [7, 8],
    [5, 5],
  ] as const) {
    let sent = 0;
    const { headers } = await send({ path, start, end, onSent: (bytes) => (sent += bytes) });
    expect(Buffer.concat(received).equals(content.subarray(start, end))).toBe(true);
    expect([headers.text, sent]).toEqual([String(end - start), end - start]);
  }
});

it('sends pieces that are in the same memory', async () => {
  onRequest = readAll;
  const buffer = Buffer.alloc(100_000);
  const pieces = async function* (): AsyncGenerator<Buffer> {
    for (let at = 0; at < content.length; at += buffer.length) {
      content.copy(buffer, 0, at, at + buffer.length);
      yield buffer;
    }
  };
  const { headers } = await send({ pieces });
  expect(headers.text).toBe('chunked');
  expect(Buffer.concat(received).equals(content)).toBe(true);
});

it('has patience with a reader that is slow, not with one that has stopped', async () => {
  onRequest = async (request) => {
    for await (const piece of request) {
      received.push(piece as Buffer);
      // In all more than the patience, but never so long without anything.
      if (received.length % 60 === 0) await delay(100);
    }
  };
  const body = { path, start: 0, end: content.length, onSent: () => undefined };
  await send(body, 500);
  expect(Buffer.concat(received).length).toBe(content.length);
  onRequest = () => new Promise(() => undefined);
  await expect(send(body, 300)).rejects.toThrow('i/o timeout');
});

it('fails where the file is shorter, and where the connection ends', async () => {
  onRequest = readAll;
  await expect(send({ path, start: 0, end: content.length + 1, onSent: () => undefined })).rejects.toThrow('early');
  onRequest = async (request) => {
    for await (const _ of request) request.destroy();
  };
  await expect(send({ path, start: 0, end: content.length, onSent: () => undefined })).rejects.toMatchObject({
    code: 'unavailable',
  });
});

it('passes on why what it sends is not made', async () => {
  onRequest = readAll;
  // biome-ignore lint/correctness/useYield: it fails before.
  const pieces = async function* (): AsyncGenerator<Buffer> {
    throw new Error('no more');
  };
  await expect(send({ pieces })).rejects.toThrow('no more');
});
