import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { connect } from 'node:tls';
import { Exec, KubeConfig, Log, PortForward } from '@kubernetes/client-node';
import type { ApiServer } from '@wherry/apiserver';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startServer } from './cluster.ts';
import { fakeStreams, type Program, textOf } from './fake-streams.ts';
import { type HttpsClient, httpsClient } from './https-client.ts';

const programs: Readonly<Record<string, Program>> = {
  both: async ({ stdout, stderr }) => {
    stdout.write('out');
    stderr.write('err');
    return 7;
  },
  cat: async ({ stdin, stdout }) => {
    stdout.write(await textOf(stdin));
    return 0;
  },
};

let server: ApiServer;
let api: HttpsClient;
let config: KubeConfig;
let folder: string;
const pods = '/api/v1/namespaces/default/pods';

beforeAll(async () => {
  server = await startServer({ streamsOf: (node) => (node === 'n1' ? fakeStreams(programs) : undefined) });
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  api = httpsClient(server);
  folder = mkdtempSync(join(tmpdir(), 'apiserver-'));
  config = new KubeConfig();
  config.loadFromOptions({
    clusters: [{ name: 'c', server: `https://127.0.0.1:${port}`, skipTLSVerify: true }],
    users: [{ name: 'u', token: 'admin' }],
    contexts: [{ name: 'c', cluster: 'c', user: 'u' }],
    currentContext: 'c',
  });
  writeFileSync(join(folder, 'kubeconfig'), config.exportConfig());
  for (const [name, nodeName] of [
    ['p', 'n1'],
    ['away', 'n2'],
    ['waiting', undefined],
  ] as const) {
    const containers = [{ name: 'a', image: 'x' }, ...(name === 'p' ? [{ name: 'b', image: 'x' }] : [])];
    await api.post(pods, { apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec: { nodeName, containers } });
  }
});

afterAll(async () => {
  api.close();
  rmSync(folder, { recursive: true });
  await server[Symbol.asyncDispose]();
});

describe('exec', () => {
  test('carries output, errors and the exit code', async () => {
    const stdout = new PassThrough();
    const stderr = new PassThrough();
    const texts = Promise.all([textOf(stdout), textOf(stderr)]);
    const status = await new Promise((resolve, reject) => {
      new Exec(config).exec('default', 'p', 'a', ['both'], stdout, stderr, null, false, resolve).catch(reject);
    });
    stdout.end();
    stderr.end();
    expect(await texts).toEqual(['out', 'err']);
    expect(status).toMatchObject({
      status: 'Failure',
      reason: 'NonZeroExitCode',
      details: { causes: [{ reason: 'ExitCode', message: '7' }] },
    });
  });

  test('carries input to its end', async () => {
    const stdin = new PassThrough();
    const stdout = new PassThrough();
    const text = textOf(stdout);
    const status = new Promise((resolve, reject) => {
      new Exec(config).exec('default', 'p', 'a', ['cat'], stdout, null, stdin, false, resolve).catch(reject);
    });
    stdin.end('piped');
    expect(await status).toMatchObject({ status: 'Success' });
    stdout.end();
    expect(await text).toBe('piped');
  });

  test('a command that cannot run is told on the error channel', async () => {
    const status = await new Promise((resolve, reject) => {
      new Exec(config)
        .exec('default', 'p', 'a', ['nosuch'], new PassThrough(), null, null, false, resolve)
        .catch(reject);
    });
    expect(status).toMatchObject({ status: 'Failure', reason: 'InternalError' });
  });
});

describe('log', () => {
  test('needs a container where there are several, and names them', async () => {
    expect((await api.get(`${pods}/p/log`)).json.message).toBe(
      'a container name must be specified for pod p, choose one of: [a b]',
    );
    expect((await api.get(`${pods}/p/log?container=nope`)).json.message).toBe('container nope is not valid for pod p');
    const stream = new PassThrough();
    const text = textOf(stream);
    await new Log(config).log('default', 'p', 'b', stream, { tailLines: 5 });
    expect(await text).toBe('log of b tail=5\n');
  });

  test('of a pod without a node is empty, of a node that is away unavailable', async () => {
    expect(await api.get(`${pods}/waiting/log`)).toMatchObject({ code: 200, text: '' });
    expect((await api.get(`${pods}/away/log`)).json).toMatchObject({ code: 503, reason: 'ServiceUnavailable' });
    expect((await api.get(`${pods}/p/log?container=a&sinceSeconds=0`)).json.code).toBe(422);
  });
});

test('a port is forwarded over the channels of a WebSocket', async () => {
  const input = new PassThrough();
  const output = new PassThrough();
  const socket = await new PortForward(config).portForward('default', 'p', [80], output, null, input);
  const first = new Promise<string>((resolve) => output.once('data', (chunk: Buffer) => resolve(chunk.toString())));
  input.write('hello');
  expect(await first).toBe('HELLO');
  (socket as { close(): void }).close();
});

test('what is no upgrade is refused', async () => {
  expect((await api.get(`${pods}/p/exec?command=cat&stdout=1`)).json).toMatchObject({
    code: 400,
    message: 'Upgrade request required',
  });
});

/** Sends a bare upgrade request and gives the status line. */
function upgrade(method: string, path: string, token: string, protocol: string): Promise<string> {
  const { port } = server.address!;
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
      socket.write(
        `${method} ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n`,
      );
    });
    socket.once('data', (chunk: Buffer) => {
      socket.destroy();
      resolve(chunk.toString().split('\r\n')[0]!);
    });
    socket.once('error', reject);
  });
}

test('to run a command takes the right to create, whatever the method and protocol', async () => {
  const path = `${pods}/p/exec?container=a&command=cat&stdout=1`;
  for (const protocol of ['SPDY/3.1', 'websocket']) {
    expect(await upgrade('GET', path, 'reader', protocol)).toMatch(/^HTTP\/1.1 403 /);
    expect(await upgrade('POST', path, 'reader', protocol)).toMatch(/^HTTP\/1.1 403 /);
    for (const method of ['PUT', 'PATCH', 'DELETE', 'OPTIONS'])
      expect(await upgrade(method, path, 'reader', protocol)).toMatch(/^HTTP\/1.1 405 /);
  }
  expect(await upgrade('GET', path, 'admin', 'websocket')).toMatch(/^HTTP\/1.1 101 /);
});

test('more ports than a WebSocket has channels for are refused', async () => {
  const many = Array.from({ length: 65 }, (_, index) => index + 1).join(',');
  expect(await upgrade('GET', `${pods}/p/portforward?ports=${many}`, 'admin', 'websocket')).toMatch(/ 400 /);
});
