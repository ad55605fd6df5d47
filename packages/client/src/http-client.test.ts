import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { V1ConfigMap } from '@wherry/api';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createHttpApiClient, type HttpApiClient } from './http-client.ts';
import { resources } from './resources.ts';

let server: Server;
let client: HttpApiClient;
let answer: (request: IncomingMessage, response: ServerResponse, body: string) => void;

beforeEach(async () => {
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => answer(request, response, Buffer.concat(chunks).toString()));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  client = createHttpApiClient({
    server: `http://127.0.0.1:${(server.address() as AddressInfo).port}/base`,
    token: 't',
  });
});
afterEach(async () => {
  client[Symbol.dispose]();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const at = { namespace: 'a', name: 'x' };
const json = (response: ServerResponse, status: number, body: unknown): void => {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
};
const failure = (code: number, reason: string) => ({
  kind: 'Status',
  status: 'Failure',
  message: `it is ${reason}`,
  reason,
  code,
});

test('calls become requests: path, query, token, body and its type', async () => {
  const seen: string[] = [];
  answer = (request, response, body) => {
    seen.push(`${request.method} ${request.url} ${request.headers['content-type'] ?? '-'} ${body}`);
    expect(request.headers.authorization).toBe('Bearer t');
    json(response, 200, { metadata: { name: 'x', resourceVersion: '7' }, items: [] });
  };
  const got = await client.get<V1ConfigMap>(resources.configMaps, at);
  expect(Object.isFrozen(got.metadata)).toBe(true);
  await client.list(resources.deployments, { labelSelector: 'a=b', limit: 5 });
  await client.create(resources.configMaps, { metadata: { namespace: 'a', name: 'x' } }, { dryRun: true });
  await client.update(resources.nodes, { apiVersion: 'v1', metadata: { name: 'n' } }, { subresource: 'status' });
  await client.patch(resources.configMaps, at, 'strategic', { data: {} });
  await client.delete(resources.configMaps, at, { propagationPolicy: 'Foreground' });
  await client.createSubresource(resources.pods, at, 'binding', { kind: 'Binding' });
  expect(seen).toEqual([
    'GET /base/api/v1/namespaces/a/configmaps/x - ',
    'GET /base/apis/apps/v1/deployments?labelSelector=a%3Db&limit=5 - ',
    'POST /base/api/v1/namespaces/a/configmaps?dryRun=All application/json {"apiVersion":"v1","metadata":{"namespace":"a","name":"x"}}',
    'PUT /base/api/v1/nodes/n/status application/json {"apiVersion":"v1","metadata":{"name":"n"}}',
    'PATCH /base/api/v1/namespaces/a/configmaps/x application/strategic-merge-patch+json {"data":{}}',
    'DELETE /base/api/v1/namespaces/a/configmaps/x application/json {"apiVersion":"v1","kind":"DeleteOptions","propagationPolicy":"Foreground"}',
    'POST /base/api/v1/namespaces/a/pods/x/binding application/json {"kind":"Binding"}',
  ]);
});

test.each([
  [404, 'NotFound', 'notFound'],
  [409, 'AlreadyExists', 'alreadyExists'],
  [409, 'Conflict', 'conflict'],
  [410, 'Expired', 'gone'],
  [403, 'Forbidden', 'forbidden'],
  [422, 'Invalid', 'invalid'],
  [429, 'TooManyRequests', 'unavailable'],
])('an answer %i %s is the error %s', async (status, reason, code) => {
  answer = (_, response) => json(response, status, failure(status, reason));
  await expect(client.get(resources.configMaps, at)).rejects.toMatchObject({
    code,
    message: `it is ${reason}`,
    details: { status: { reason } },
  });
});

test('a server that is not there is unavailable; names cannot leave their path', async () => {
  const nowhere = createHttpApiClient({ server: 'http://127.0.0.1:1' });
  await expect(nowhere.get(resources.configMaps, at)).rejects.toMatchObject({ code: 'unavailable' });
  await expect((async () => client.get(resources.configMaps, { namespace: 'a', name: '..' }))()).rejects.toMatchObject({
    code: 'invalid',
  });
  nowhere[Symbol.dispose]();
});

test('a watch gives events however they are cut, ends with the signal, and reports ERROR events', async () => {
  const events = [
    { type: 'ADDED', object: { metadata: { name: 'ä', resourceVersion: '1' } } },
    { type: 'BOOKMARK', object: { metadata: { resourceVersion: '2' } } },
    { type: 'ERROR', object: failure(410, 'Expired') },
  ];
  answer = (request, response) => {
    expect(request.url).toBe('/base/api/v1/configmaps?resourceVersion=5&watch=true&allowWatchBookmarks=true');
    response.writeHead(200);
    const bytes = Buffer.from(events.map((event) => `${JSON.stringify(event)}\n`).join(''));
    const step = (from: number): void => {
      if (from >= bytes.length) return;
      response.write(bytes.subarray(from, from + 7), () => step(from + 7));
    };
    step(0);
  };
  const end = new AbortController();
  const seen: unknown[] = [];
  const run = async (): Promise<void> => {
    for await (const event of client.watch(resources.configMaps, { resourceVersion: '5', signal: end.signal }))
      seen.push(event);
  };
  await expect(run()).rejects.toMatchObject({ code: 'gone' });
  expect(seen).toEqual(events.slice(0, 2));
  events.pop();
  seen.length = 0;
  const running = run();
  while (seen.length < 2) await new Promise((resolve) => setImmediate(resolve));
  end.abort();
  await running; // no error
});
