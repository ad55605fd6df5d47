import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dockerRegistry, repository } from '@wherry/testkit';
import { type Measure, median } from './report.ts';

const size = 100 * 1000 * 1000;
const rounds = 5;
const readers = 8;

interface Server {
  readonly port: number;
  readonly pid: number;
  stop(): Promise<void>;
}

interface Figures {
  readonly push: number;
  readonly pull: number;
  readonly pulls: number;
  /** MB resident after it all, at most. */
  readonly memory: number;
  readonly manifests: number;
}

/** Pushes and pulls of a 100 MB blob on loopback, against the distribution's docker-registry. */
export async function measureRegistry(): Promise<Measure[]> {
  const folder = await mkdtemp(join(tmpdir(), 'bench-registry-'));
  const servers = [await startWherry(folder)];
  const peerProgram = dockerRegistry(repository);
  if (peerProgram !== undefined) servers.push(await startPeer(folder, peerProgram));
  try {
    const [ours, peer] = await measured(servers);
    if (!ours) return [];
    const note = peer ? undefined : 'no docker-registry to compare with';
    const against = (value: number | undefined) =>
      value === undefined ? undefined : { name: 'docker-registry', value };
    const line = (name: string, unit: Measure['unit'], pick: (figures: Figures) => number): Measure => {
      return { name, value: pick(ours), unit, against: against(peer && pick(peer)), note };
    };
    return [
      line('registry: push 100 MB', 'ms', ({ push }) => push),
      line('registry: pull 100 MB', 'ms', ({ pull }) => pull),
      line(`registry: ${readers} pulls of 100 MB at once`, 'ms', ({ pulls }) => pulls),
      line('registry: manifests by tag, 8 connections', '/s', ({ manifests }) => manifests),
      line('registry: memory at most', 'MB', ({ memory }) => memory),
    ];
  } finally {
    for (const server of servers) await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** In turns: whatever else the machine does slows all of them. */
async function measured(servers: readonly Server[]): Promise<Figures[]> {
  const samples = servers.map(() => ({ push: [] as number[], pull: [] as number[], pulls: [] as number[] }));
  for (let round = 0; round < rounds; round++) {
    const blob = randomBytes(size);
    const digest = `sha256:${createHash('sha256').update(blob).digest('hex')}`;
    for (const [index, { port }] of servers.entries()) {
      const { push, pull, pulls } = samples[index]!;
      push.push(await timed(() => pushBlob(port, digest, blob)));
      pull.push(await timed(() => pullBlob(port, digest)));
      pulls.push(await timed(() => Promise.all(Array.from({ length: readers }, () => pullBlob(port, digest)))));
    }
  }
  const figures: Figures[] = [];
  for (const [index, { port, pid }] of servers.entries()) {
    const { push, pull, pulls } = samples[index]!;
    const manifests = await manifestRate(port);
    figures.push({
      push: median(push),
      pull: median(pull),
      pulls: median(pulls),
      manifests,
      memory: await peakMemory(pid),
    });
  }
  return figures;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

/** As the docker CLI's daemon pushes: POST, PATCH with everything, PUT. */
async function pushBlob(port: number, digest: string, blob: Buffer): Promise<void> {
  const begun = await send(port, 'POST', '/v2/bench/app/blobs/uploads/');
  const patched = await send(port, 'PATCH', begun.location, blob);
  const joint = patched.location.includes('?') ? '&' : '?';
  const { status } = await send(port, 'PUT', `${patched.location}${joint}digest=${digest}`);
  if (status !== 201) throw new Error(`push: status ${status}`);
}

async function send(
  port: number,
  method: string,
  url: string,
  body?: Buffer | string,
  headers: Record<string, string> = {},
): Promise<{ status: number; location: string }> {
  const { pathname, search } = new URL(url, 'http://host');
  const length = { 'Content-Length': Buffer.byteLength(body ?? '') };
  const sent = request({
    host: '127.0.0.1',
    port,
    method,
    path: pathname + search,
    agent: false,
    headers: { ...length, ...headers },
  });
  sent.end(body);
  const [answer] = await once(sent, 'response');
  answer.resume();
  await once(answer, 'end');
  return { status: answer.statusCode, location: answer.headers.location ?? '' };
}

/** On a bare socket into one buffer: the reader must cost less than the server. */
async function pullBlob(port: number, digest: string): Promise<void> {
  let received = 0;
  const buffer = Buffer.allocUnsafe(256 * 1024);
  const socket = connect({
    host: '127.0.0.1',
    port,
    onread: {
      buffer,
      callback: (bytes) => {
        received += bytes;
        return true;
      },
    },
  });
  socket.write(`GET /v2/bench/app/blobs/${digest} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n`);
  await once(socket, 'close');
  if (received < size) throw new Error(`pull: ${received} bytes`);
}

async function manifestRate(port: number): Promise<number> {
  const config = '{}';
  const digest = `sha256:${createHash('sha256').update(config).digest('hex')}`;
  await pushBlob(port, digest, Buffer.from(config));
  const mediaType = 'application/vnd.docker.distribution.manifest.v2+json';
  const descriptor = { mediaType: 'application/vnd.docker.container.image.v1+json', digest, size: config.length };
  const manifest = JSON.stringify({ schemaVersion: 2, mediaType, config: descriptor, layers: [] });
  const put = await send(port, 'PUT', '/v2/bench/app/manifests/v1', manifest, { 'Content-Type': mediaType });
  if (put.status !== 201) throw new Error(`manifest: status ${put.status}`);
  const each = 250;
  const ask = `GET /v2/bench/app/manifests/v1 HTTP/1.1\r\nHost: bench\r\nAccept: ${mediaType}\r\n\r\n`;
  const took = await timed(() =>
    Promise.all(
      Array.from({ length: 8 }, async () => {
        const socket = connect(port, '127.0.0.1');
        for (let count = 0; count < each; count++) {
          socket.write(ask);
          for (let text = ''; !text.endsWith(manifest); ) text += String((await once(socket, 'data'))[0]);
        }
        socket.destroy();
      }),
    ),
  );
  return (8 * each * 1000) / took;
}

async function peakMemory(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)![1]) / 1000;
}

async function startWherry(folder: string): Promise<Server> {
  const args = [
    join(repository, 'bin', 'wherry'),
    'registry',
    'serve',
    '--port',
    '0',
    '--root',
    join(folder, 'wherry'),
  ];
  return await startServer(process.execPath, args, /"url":"http:\/\/127\.0\.0\.1:(\d+)"/);
}

async function startPeer(folder: string, peerProgram: string): Promise<Server> {
  const file = join(folder, 'peer.yml');
  const port = 20_000 + (process.pid % 20_000);
  await writeFile(
    file,
    `version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: ${join(folder, 'peer')}\nhttp:\n  addr: 127.0.0.1:${port}\n  relativeurls: true\n`,
  );
  const server = await startServer(peerProgram, ['serve', file], /listening on [\d.]+:(\d+)/);
  return server;
}

async function startServer(program: string, args: readonly string[], listening: RegExp): Promise<Server> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = once(child, 'exit');
  const port = await new Promise<number>((resolve, reject) => {
    let text = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk) => {
        if (text.length > 100_000) return;
        text += chunk;
        const found = listening.exec(text)?.[1];
        if (found !== undefined) resolve(Number(found));
      });
    child.once('exit', () => reject(new Error(`${program} ended: ${text}`)));
  });
  return {
    port,
    pid: child.pid!,
    async stop() {
      child.kill();
      await exited;
    },
  };
}
