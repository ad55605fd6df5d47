import { mkdir, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { packContext } from '@wherry/builder';
import { dockerdPeer, type EnginePeer, wherryPeer } from './engine-peers.ts';
import { type Measure, median } from './report.ts';

const rounds = 7;
/** In each round: a cached build takes some 40 ms, of which the engine's part is the smaller. */
const cachedBuilds = 6;

/** Ten steps, as people write them; `salt` makes all after the first new. */
function dockerfile(salt: string): string {
  return [
    'FROM busybox',
    `ENV SALT=${salt}`,
    'WORKDIR /app',
    'COPY a.txt /app/',
    'RUN echo one > /app/one',
    'COPY sub /app/sub',
    'RUN cat /app/one > /app/two',
    'LABEL kind=bench',
    'RUN ls /app > /app/list',
    'CMD ["cat", "/app/list"]',
    '',
  ].join('\n');
}

/** What was measured of a peer, in milliseconds. */
interface Times {
  readonly cold: number[];
  readonly cached: number[];
  /** Of a cached build, from the request to the end of the answer. */
  readonly engine: number[];
}

/** The classic builder's requests to dockerd and to wherry, one after the other in each round. */
export async function measureBuild(): Promise<Measure[]> {
  await using wherry = await wherryPeer();
  await using dockerd = await dockerdPeer();
  const peers = dockerd === undefined ? [wherry] : [wherry, dockerd];
  const times = new Map(peers.map((peer): [EnginePeer, Times] => [peer, { cold: [], cached: [], engine: [] }]));
  for (const peer of peers) await build(peer, 'warm-up');
  for (let round = 0; round < rounds; round++) {
    for (const peer of peers) times.get(peer)!.cold.push(await build(peer, `${round}`));
    for (let n = 0; n < cachedBuilds; n++) {
      for (const peer of peers) times.get(peer)!.cached.push(await build(peer, `${round}`));
      for (const peer of peers) times.get(peer)!.engine.push(await requestBuild(peer));
    }
  }
  const measure = (name: string, kind: keyof Times): Measure => ({
    name,
    value: median(times.get(wherry)![kind]),
    unit: 'ms',
    ...(dockerd && { against: { name: dockerd.name, value: median(times.get(dockerd)![kind]) } }),
  });
  return [
    measure('docker build of ten steps, cold', 'cold'),
    measure('docker build of ten steps, cached', 'cached'),
    measure("docker build of ten steps, cached, the engine's share", 'engine'),
  ];
}

const contextOf = (peer: EnginePeer): string => join(peer.directory, 'context');

async function build(peer: EnginePeer, salt: string): Promise<number> {
  const context = contextOf(peer);
  await mkdir(join(context, 'sub'), { recursive: true });
  await writeFile(join(context, 'Dockerfile'), dockerfile(salt));
  await writeFile(join(context, 'a.txt'), 'a\n');
  await writeFile(join(context, 'sub', 's.txt'), 's\n');
  const began = performance.now();
  // dockerd's own builder, which the machine's command line asks for where it has no buildx.
  const { code, stderr } = await peer.run(['build', '-t', 'bench', context]);
  if (code !== 0) throw new Error(`${peer.name}: docker build: ${stderr}`);
  return performance.now() - began;
}

/** The client's request for the same build, without the client. */
async function requestBuild(peer: EnginePeer): Promise<number> {
  const pieces: Buffer[] = [];
  for await (const piece of packContext(contextOf(peer), { dockerfileName: 'Dockerfile' })) pieces.push(piece);
  const began = performance.now();
  const answer = await new Promise<string>((resolve, reject) => {
    const options = {
      socketPath: peer.env.DOCKER_HOST!.replace('unix://', ''),
      ...{ method: 'POST', path: '/v1.45/build?dockerfile=Dockerfile&rm=1&t=bench', agent: false },
      headers: { 'content-type': 'application/x-tar' },
    } as const;
    const asked = request(options, (response) => void text(response).then(resolve, reject));
    asked.once('error', reject);
    asked.end(Buffer.concat(pieces));
  });
  if (!answer.includes('Successfully tagged bench:latest') || answer.match(/Using cache/g)?.length !== 9) {
    throw new Error(`${peer.name}: not a cached build: ${answer}`);
  }
  return performance.now() - began;
}
