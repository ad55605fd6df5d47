import { once } from 'node:events';
import { createServer, connect as dialTcp, type Server, type Socket } from 'node:net';
import { connect } from 'node:tls';
import type { ApiServer } from '@wherry/apiserver';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startServer } from './cluster.ts';
import { type HttpsClient, httpsClient } from './https-client.ts';

/** What a pod's server does with a connection. */
const backends: Readonly<Record<number, (socket: Socket) => void>> = {
  1: (socket) => void socket.resume().end('what is this?\r\n\r\n\0\0\0'),
  2: (socket) => void socket.destroy(),
  3: (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf');
    socket.once('data', () => setTimeout(() => socket.resetAndDestroy(), 5));
  },
  4: (socket) => {
    socket.write('HTTP/1.1 200 OK\r\n\r\n');
    const more = (): void => {
      while (!socket.destroyed && socket.write('x'.repeat(65_536)));
    };
    socket.on('drain', more);
    more();
  },
  5: (socket) => void socket.resume().write(`HTTP/1.1 200 OK\r\nX: ${'h'.repeat(200_000)}\r\n\r\n`),
  6: (socket) => {
    socket.once('data', (head: Buffer) => {
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n${head}`);
    });
  },
  7: (socket) => {
    socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'));
  },
};

let server: ApiServer;
let api: HttpsClient;
const servers: Server[] = [];
const open = new Set<Socket>();
const pods = '/api/v1/namespaces/default/pods';

beforeAll(async () => {
  const ports = new Map<number, number>();
  for (const [port, serve] of Object.entries(backends)) {
    const backend = createServer((socket) => {
      open.add(socket);
      socket.on('close', () => open.delete(socket));
      socket.on('error', () => undefined);
      serve(socket);
    }).listen(0, '127.0.0.1');
    await once(backend, 'listening');
    servers.push(backend);
    ports.set(Number(port), (backend.address() as { port: number }).port);
  }
  server = await startServer({
    dialPod: async (_address, port) => {
      const socket = dialTcp(ports.get(port) ?? 1, '127.0.0.1');
      await once(socket, 'connect');
      return socket;
    },
  });
  await server.listen({ host: '127.0.0.1', port: 0 });
  api = httpsClient(server);
  for (const [name, podIP] of [
    ['p', '10.244.0.9'],
    ['own', '127.0.0.1'],
    ['link', '169.254.169.254'],
    ['mapped', '::ffff:127.0.0.1'],
  ]) {
    const containers = [{ name: 'a', image: 'x' }];
    await api.post(pods, { apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec: { nodeName: 'n', containers } });
    const status = { status: { podIP, phase: 'Running' } };
    await api.patch(`${pods}/${name}/status`, 'application/merge-patch+json', status);
  }
});

afterAll(async () => {
  api.close();
  await server[Symbol.asyncDispose]();
  for (const backend of servers) backend.close();
  for (const socket of open) socket.destroy();
});

/** Sends raw bytes and gives what has come when it looks as wanted or is at its end; leaves by reset. */
async function raw(bytes: string, wanted: RegExp): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port: server.address!.port, rejectUnauthorized: false });
  socket.on('error', () => undefined);
  let text = '';
  const come = new Promise<void>((resolve) => {
    socket.once('close', () => resolve());
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      if (wanted.test(text)) resolve();
    });
  });
  await once(socket, 'secureConnect');
  socket.write(bytes);
  await come;
  socket.destroy();
  return text;
}

const head = (port: number, more = ''): string =>
  `GET ${pods}/p:${port}/proxy/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\n${more}\r\n`;

describe('a proxied pod', () => {
  test('that answers nonsense, too much or not to the end harms nobody', async () => {
    for (let round = 0; round < 5; round++) {
      for (const port of [1, 2, 5]) expect((await api.get(`${pods}/p:${port}/proxy/`)).code).toBe(503);
      // The client is told that it was not all by the end of its connection.
      expect(await raw(head(3), /more than half/)).toMatch(/half$/);
      await raw(head(4), /xxx/);
    }
    expect((await api.get(`${pods}/p:7/proxy/`)).text).toBe('ok');
    await expect.poll(() => open.size).toBeLessThan(3);
  });

  test('is not told the token of a WebSocket that is passed on', async () => {
    const token = Buffer.from('admin').toString('base64url');
    const text = await raw(
      `GET ${pods}/p:6/proxy/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.${token}, chat\r\n\r\n`,
      // The pod says what it was told behind the head of its answer.
      /\r\n\r\n[\s\S]*\r\n\r\n/,
    );
    expect(text).toMatch(/^HTTP\/1.1 101 /);
    expect(text).toMatch(/Sec-WebSocket-Protocol: chat\r\n/);
    expect(text).not.toContain(token);
  });

  test('is not this machine under the name of a pod', async () => {
    for (const name of ['own', 'link', 'mapped']) {
      const answer = await api.get(`${pods}/${name}:7/proxy/`);
      expect([answer.code, answer.json.message]).toEqual([400, 'address not allowed']);
    }
  });
});
