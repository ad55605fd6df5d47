import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { dockerdPeer, type EnginePeer, wherryPeer } from './engine-peers.ts';
import { Pings } from './pings.ts';
import { cpuSeconds, forgetPeak, peakMegabytes } from './process-facts.ts';
import { disposed, type Measure } from './report.ts';

const files = 100_000;
const filesInFolder = 200;

interface Figures {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly megabytes: number;
  readonly latest: number; // ms
}

const dockerfiles = {
  'COPY of all': 'FROM busybox\nCOPY . /x/\n',
  'COPY of all, cached': 'FROM busybox\nCOPY . /x/\n',
  'COPY of what is not ignored': 'FROM busybox\nCOPY . /y/\n',
  'removing the image': '',
} as const;
type Step = keyof typeof dockerfiles;

/** Builds of a folder with 100,000 files: time, the daemons' processor time and memory, and how late they answer a ping. */
export async function measureManyFiles(): Promise<Measure[]> {
  const wherry = await wherryPeer();
  const dockerd = await dockerdPeer();
  try {
    const peers = dockerd === undefined ? [wherry] : [wherry, dockerd];
    for (const peer of peers) await makeContext(join(peer.directory, 'many'));
    const measures: Measure[] = [];
    for (const step of Object.keys(dockerfiles) as Step[]) {
      const [ours, theirs] = [await measure(wherry, step), dockerd && (await measure(dockerd, step))];
      const line = (what: string, unit: Measure['unit'], value: (figures: Figures) => number): Measure => ({
        ...{ name: `${step}: ${what}`, value: value(ours), unit },
        ...(dockerd && theirs && { against: { name: dockerd.name, value: value(theirs) } }),
      });
      measures.push(
        line('time', 'ms', ({ seconds }) => seconds * 1000),
        line('processor time of the daemons', 'ms', (figures) => figures.cpuSeconds * 1000),
        line('memory at most', 'MB', ({ megabytes }) => megabytes),
        { ...line('ping, at most', 'ms', ({ latest }) => latest), target: 20 },
      );
    }
    return measures;
  } finally {
    await disposed(wherry);
    if (dockerd) await disposed(dockerd);
  }
}

async function measure(peer: EnginePeer, step: Step): Promise<Figures> {
  const context = join(peer.directory, 'many');
  await writeFile(join(context, 'Dockerfile'), dockerfiles[step]);
  const isFiltered = step === 'COPY of what is not ignored';
  if (isFiltered) await writeFile(join(context, '.dockerignore'), 'd*\n!d7\n');
  else await rm(join(context, '.dockerignore'), { force: true });
  const pids = await peer.pids();
  for (const pid of pids) await forgetPeak(pid);
  const cpuOf = async (): Promise<number> => sum(await Promise.all(pids.map(cpuSeconds)));
  const pings = new Pings(peer.env.DOCKER_HOST!.replace('unix://', ''));
  const [cpu, began] = [await cpuOf(), performance.now()];
  const command =
    dockerfiles[step] === '' ? ['rmi', 'many'] : ['build', '-q', '-t', isFiltered ? 'few' : 'many', context];
  const { code, stderr } = await peer.run(command, { timeout: 600_000 });
  const seconds = (performance.now() - began) / 1000;
  const latest = Math.max(...(await pings.end()).map(({ took }) => took));
  if (code !== 0) throw new Error(`${peer.name}: ${command[0]}: ${stderr}`);
  const megabytes = sum(await Promise.all(pids.map(peakMegabytes)));
  return { seconds, cpuSeconds: (await cpuOf()) - cpu, megabytes, latest };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

async function makeContext(folder: string): Promise<void> {
  for (let n = 0; n < files; n++) {
    const path = join(folder, `d${Math.floor(n / filesInFolder)}`);
    if (n % filesInFolder === 0) await mkdir(path, { recursive: true });
    await writeFile(join(path, `file-${n}.txt`), `the content of file ${n}\n`.repeat(1 + (n % 40)));
  }
}
