import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  createTestCluster,
  dockerdFolders,
  type Ran,
  repository,
  type TestImage,
  type TestMachine,
  writeDockerArchive,
} from '@wherry/testkit';
import { startDockerd } from '../e2e/image-peers.ts';
import { forgetPeak } from './process-facts.ts';
import { disposed, type Measure, median } from './report.ts';
import { madeUpImage, noiseImage, realImage } from './transfer-images.ts';

const imageName = 'large:1';

const rounds = 3;

/** An engine whose client is timed. */
interface Engine {
  docker(args: readonly string[]): Promise<Ran>;
  readonly pid: number;
}

/** What each round took: of the client, and of the processors by its daemon (ms). */
interface Rounds {
  readonly load: Took[];
  readonly push: Took[];
  readonly pull: Took[];
}

interface Took {
  readonly time: number;
  readonly work: number;
}

/** `docker load`, `docker push` and `docker pull` by Wherry and by dockerd, each to a new registry of ours. */
export async function measureTransfers(): Promise<Measure[]> {
  const cluster = await createTestCluster({ upArgs: ['--engine-only'] });
  const { machine } = cluster;
  const folders = dockerdFolders(repository);
  const peer = folders === undefined ? undefined : await startDockerd(machine, folders);
  try {
    const ours: Engine = {
      docker: (args) => cluster.docker(args, { timeout: 300_000 }),
      pid: await cluster.daemonPid(),
    };
    const theirs = peer && { docker: (args: readonly string[]) => peer.run(args, { timeout: 300_000 }), pid: peer.pid };
    const idle = await memory(ours.pid, 'VmRSS');
    const measures = [
      ...(await compare(machine, '100 MB', madeUpImage(4, 25), ours, theirs)),
      ...(await compare(machine, '100 MB of programs', realImage(100), ours, theirs)),
      ...(await compare(machine, 'a layer of 100 MB noise', noiseImage(1, 100), ours, theirs)),
    ];
    await forgetPeak(ours.pid);
    await load(machine, madeUpImage(1, 400), [ours]);
    await measure(machine, ours, { load: [], push: [], pull: [] });
    const peak = (await memory(ours.pid, 'VmHWM')) - idle;
    return [...measures, { name: 'memory above idle, load, push, pull 400 MB', value: peak, unit: 'MB', target: 150 }];
  } finally {
    await peer?.[Symbol.asyncDispose]();
    await disposed(cluster);
  }
}

/** One image, in turns. */
async function compare(
  machine: TestMachine,
  what: string,
  image: TestImage,
  ours: Engine,
  theirs: Engine | undefined,
): Promise<Measure[]> {
  const engines = theirs ? [ours, theirs] : [ours];
  const taken = new Map(engines.map((engine) => [engine, { load: [], push: [], pull: [] } as Rounds]));
  await measureLoads(machine, image, taken);
  for (let round = 0; round < rounds; round++)
    for (const [engine, rounds] of taken) await measure(machine, engine, rounds);
  for (const engine of engines) await must(engine, 'rmi', imageName);
  const line = (name: string, pick: (rounds: Rounds) => readonly Took[], times = 2): Measure => {
    const value = (of: Engine, field: keyof Took): number => median(pick(taken.get(of)!).map((took) => took[field]));
    const work = (of: Engine): string => `${(value(of, 'work') / 1000).toFixed(2)} s`;
    return {
      name: `docker ${name}`,
      value: value(ours, 'time'),
      unit: 'ms',
      target: theirs && value(theirs, 'time') / times,
      against: theirs && { name: 'dockerd 26.1', value: value(theirs, 'time') },
      note: `${work(ours)} of processors${theirs ? `, dockerd ${work(theirs)}` : ''}`,
    };
  };
  return [
    line(`load ${what}`, ({ load }) => load.slice(0, rounds), 1),
    line(`load ${what} that is here`, ({ load }) => load.slice(rounds), 1),
    // What was loaded has plain layers here, what was pulled those of the registry; dockerd compresses each time.
    line(`push ${what} that was loaded`, ({ push }) => push.slice(0, 1)),
    line(`push ${what} that was pulled`, ({ push }) => push.slice(1)),
    line(`pull ${what}`, ({ pull }) => pull),
  ];
}

/** Half of the times it is here already. */
async function measureLoads(machine: TestMachine, image: TestImage, taken: ReadonlyMap<Engine, Rounds>): Promise<void> {
  const archive = join(machine.directory, 'large.tar');
  await writeDockerArchive(archive, image, [imageName]);
  for (let round = 0; round < 2 * rounds; round++) {
    for (const [engine, { load }] of taken) {
      load.push(await timed(engine, 'load', '-q', '-i', archive));
      if (round < rounds - 1) await must(engine, 'rmi', imageName);
    }
  }
}

async function load(machine: TestMachine, image: TestImage, engines: readonly Engine[]): Promise<void> {
  const archive = join(machine.directory, 'large.tar');
  await writeDockerArchive(archive, image, [imageName]);
  for (const engine of engines) await must(engine, 'load', '-q', '-i', archive);
}

async function measure(machine: TestMachine, engine: Engine, { push, pull }: Rounds): Promise<void> {
  const root = join(machine.directory, `registry-${process.hrtime.bigint()}`);
  const serve = [join(repository, 'bin', 'wherry'), 'registry', 'serve', '--port', '5000', '--root', root];
  await using registry = machine.start(process.execPath, serve);
  await registry.waitFor('registry serves');
  const name = `127.0.0.1:5000/bench/${imageName}`;
  await must(engine, 'tag', imageName, name);
  push.push(await timed(engine, 'push', '-q', name));
  await must(engine, 'rmi', name);
  // The content must go, too, for the pull to bring it.
  await must(engine, 'rmi', imageName);
  pull.push(await timed(engine, 'pull', '-q', name));
  await must(engine, 'tag', name, imageName);
  await must(engine, 'rmi', name);
}

async function timed(engine: Engine, ...args: string[]): Promise<Took> {
  const [began, used] = [performance.now(), await processorTime(engine.pid)];
  await must(engine, ...args);
  return { time: performance.now() - began, work: (await processorTime(engine.pid)) - used };
}

async function must({ docker }: Engine, ...args: string[]): Promise<void> {
  const { code, stderr } = await docker(args);
  if (code !== 0) throw new Error(`docker ${args.join(' ')}: ${stderr}`);
}

/** Of a process and the children that it has waited for, in milliseconds (proc(5), `stat`). */
async function processorTime(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]!.split(' ').map(Number);
  return (fields[11]! + fields[12]! + fields[13]! + fields[14]!) * 10;
}

async function memory(pid: number, field: 'VmRSS' | 'VmHWM'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)![1]) / 1000;
}
