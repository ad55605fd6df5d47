import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { request } from 'node:https';
import { connect, type TLSSocket } from 'node:tls';
import type { ApiServer } from '@wherry/apiserver';
import { VirtualClock } from '@wherry/base';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { configMap, startServer } from './cluster.ts';
import { type HttpsClient, httpsClient } from './https-client.ts';

let server: ApiServer;
let api: HttpsClient;
let clock: VirtualClock;
const maps = '/api/v1/namespaces/default/configmaps';

beforeEach(async () => {
  clock = new VirtualClock();
  server = await startServer({ clock });
  await server.listen({ host: '127.0.0.1', port: 0 });
  api = httpsClient(server);
});

afterEach(async () => {
  api.close();
  await server[Symbol.asyncDispose]();
});

const metrics = async (): Promise<string> => (await api.get('/metrics')).text;

test('what an anonymous client makes up leaves no series behind', async () => {
  await api.get(maps);
  const before = (await metrics()).split('\n').length;
  for (let index = 0; index < 50; index++) {
    await api.get(`/apis/g${index}/v1/things`, { token: '' });
    await api.get(`/api/v1/namespaces/default/pods/p/sub${index}`, { token: '' });
    await api.get(`/api/v1/pods"} 1/x${index}`, { token: '' }).catch(() => undefined);
  }
  const text = await metrics();
  expect(text.split('\n').length - before).toBeLessThan(60);
  expect(text).not.toMatch(/g17|sub17|\} 1\//);
});

test('a body is read whatever the size of its pieces, up to the limit', async () => {
  const body = Buffer.from(JSON.stringify(configMap('bytes', { text: 'x'.repeat(2000) })));
  const { port } = server.address!;
  const headers = { authorization: 'Bearer admin', 'content-type': 'application/json' };
  const outgoing = request({ host: '127.0.0.1', port, path: maps, method: 'POST', rejectUnauthorized: false, headers });
  outgoing.on('error', () => undefined);
  for (const byte of body) outgoing.write(Buffer.from([byte]));
  outgoing.end();
  const [answer] = await once(outgoing, 'response');
  answer.resume();
  expect(answer.statusCode).toBe(201);
  const large = await api.post(maps, configMap('large', { text: 'x'.repeat(3 * 1024 * 1024) }));
  expect(large.code).toBe(413);
});

test('an HTTP/2 session on which nothing is asked ends, one with a watch does not', async () => {
  const { port } = server.address!;
  const open = async () => {
    const session = connectHttp2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false });
    session.on('error', () => undefined);
    await once(session, 'remoteSettings');
    return session;
  };
  const idle = await open();
  const busy = await open();
  const watch = busy.request({ ':path': `${maps}?watch=1`, authorization: 'Bearer admin' });
  await once(watch, 'response');
  const over = once(idle, 'close');
  await clock.advance(91_000);
  await over;
  expect(busy.closed).toBe(false);
  busy.destroy();
});

test('a refused upgrade does not keep the connection of a client who stays', async () => {
  const { port } = server.address!;
  const socket: TLSSocket = connect({
    host: '127.0.0.1',
    port,
    rejectUnauthorized: false,
    allowHalfOpen: true,
  } as never);
  await once(socket, 'secureConnect');
  socket.write('GET /api/v1/pods HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  const [answer] = await once(socket, 'data');
  expect(String(answer)).toMatch(/^HTTP\/1.1 403 /);
  socket.resume();
  await once(socket, 'end');
  socket.destroy();
});

test('a namespace is asked for within itself', async () => {
  await api.post('/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'dev' } });
  expect((await api.get('/api/v1/namespaces/dev')).code).toBe(200);
  expect((await api.get('/api/v1/namespaces/dev/status')).code).toBe(200);
  expect((await api.get('/api/v1/namespaces/dev', { token: 'nobody' })).json.message).toBe(
    'namespaces "dev" is forbidden: User "nobody" cannot get resource "namespaces" in API group "" in the namespace "dev"',
  );
  expect((await api.get('/api/v1/namespaces', { token: 'nobody' })).json.message).toBe(
    'namespaces is forbidden: User "nobody" cannot list resource "namespaces" in API group "" at the cluster scope',
  );
});
