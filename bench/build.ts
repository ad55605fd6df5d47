import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { dockerdPeer, type EnginePeer, wherryPeer } from './engine-peers.ts';
import { type Measure, median } from './report.ts';

const rounds = 7;

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

/** The classic builder's requests to dockerd and to wherry, one after the other in each round. */
export async function measureBuild(): Promise<Measure[]> {
  await using wherry = await wherryPeer();
  await using dockerd = await dockerdPeer();
  const peers = dockerd === undefined ? [wherry] : [wherry, dockerd];
  const times = new Map(peers.map((peer) => [peer, { cold: [] as number[], cached: [] as number[] }]));
  for (const peer of peers) await build(peer, 'warm-up');
  for (let round = 0; round < rounds; round++) {
    for (const peer of peers) {
      times.get(peer)!.cold.push(await build(peer, `${round}`));
      times.get(peer)!.cached.push(await build(peer, `${round}`));
    }
  }
  return (['cold', 'cached'] as const).map((kind) => ({
    name: `docker build of ten steps, ${kind}`,
    value: median(times.get(wherry)![kind]),
    unit: 'ms',
    ...(dockerd && { against: { name: dockerd.name, value: median(times.get(dockerd)![kind]) } }),
  }));
}

async function build(peer: EnginePeer, salt: string): Promise<number> {
  const context = join(peer.directory, 'context');
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
