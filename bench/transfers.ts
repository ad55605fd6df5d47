import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  createTestCluster,
  dockerdFolders,
  type Ran,
  repository,
  type TestMachine,
  writeDockerArchive,
} from '@wherry/testkit';
import { startDockerd } from '../e2e/image-peers.ts';
import { forgetPeak } from './process-facts.ts';
import { disposed, type Measure, median } from './report.ts';

const megabyte = 1024 * 1024;
const rounds = 3;

/** An engine whose client is timed. */
interface Engine {
  docker(args: readonly string[]): Promise<Ran>;
  readonly pid: number;
  readonly push: number[];
  readonly pull: number[];
  /** Seconds of processors that its daemon took. */
  readonly pushWork: number[];
  readonly pullWork: number[];
}

/** `docker push` and `docker pull` of 100 MB in four layers, by Wherry and by dockerd, each to a new registry of ours. */
export async function measureTransfers(): Promise<Measure[]> {
  const cluster = await createTestCluster({ upArgs: ['--engine-only'] });
  const { machine } = cluster;
  const folders = dockerdFolders(repository);
  const peer = folders === undefined ? undefined : await startDockerd(machine, folders);
  try {
    const ours = engineOf((args) => cluster.docker(args, { timeout: 300_000 }), await cluster.daemonPid());
    const theirs = peer && engineOf((args) => peer.run(args, { timeout: 300_000 }), peer.pid);
    const archive = join(machine.directory, 'large.tar');
    await writeDockerArchive(archive, { config: {}, layers: [1, 2, 3, 4].map((n) => ({ entries: layer(n, 25) })) }, [
      'large:1',
    ]);
    const engines = theirs ? [ours, theirs] : [ours];
    for (const engine of engines) await must(engine, 'load', '-q', '-i', archive);
    for (let round = 0; round < rounds; round++) for (const engine of engines) await measure(machine, engine);
    const idle = await memory(ours.pid, 'VmRSS');
    await forgetPeak(ours.pid);
    await writeDockerArchive(archive, { config: {}, layers: [{ entries: layer(5, 400) }] }, ['large:1']);
    await must(ours, 'load', '-q', '-i', archive);
    await measure(machine, engineOf(ours.docker, ours.pid));
    const peak = (await memory(ours.pid, 'VmHWM')) - idle;
    const line = (
      name: string,
      pick: (engine: Engine) => readonly number[],
      work: (engine: Engine) => readonly number[],
    ): Measure => ({
      name,
      value: median(pick(ours)),
      unit: 'ms',
      target: theirs && median(pick(theirs)) / 2,
      against: theirs && { name: 'dockerd 26.1', value: median(pick(theirs)) },
      note: `${median(work(ours)).toFixed(2)} s of processors${theirs ? `, dockerd ${median(work(theirs)).toFixed(2)} s` : ''}`,
    });
    return [
      // What was loaded has plain layers here, what was pulled those of the registry; dockerd compresses each time.
      line(
        'docker push 100 MB that was loaded',
        ({ push }) => push.slice(0, 1),
        ({ pushWork }) => pushWork.slice(0, 1),
      ),
      line(
        'docker push 100 MB that was pulled',
        ({ push }) => push.slice(1),
        ({ pushWork }) => pushWork.slice(1),
      ),
      line(
        'docker pull 100 MB',
        ({ pull }) => pull,
        ({ pullWork }) => pullWork,
      ),
      { name: 'memory above idle, load, push, pull 400 MB', value: peak, unit: 'MB', target: 150 },
    ];
  } finally {
    await peer?.[Symbol.asyncDispose]();
    await disposed(cluster);
  }
}

function engineOf(docker: Engine['docker'], pid: number): Engine {
  return { docker, pid, push: [], pull: [], pushWork: [], pullWork: [] };
}

/** As distributions have them: half in files of 5 to 20 kB, half in large ones; half of each compressible. */
function* layer(number: number, size: number) {
  const file = (name: string, half: number) => {
    const content = Buffer.concat([randomBytes(half), Buffer.alloc(half, 'some text ')]);
    return { name: `layer${number}/${name}`, type: 'file', mode: 0o644, content } as const;
  };
  const large = (size * megabyte) / 10;
  for (let n = 0; n < 5; n++) yield file(`lib${n}`, large / 2);
  for (let n = 0, written = 0; written < (size * megabyte) / 2; n++) {
    const half = 2500 + ((n * 977) % 7500);
    written += 2 * half;
    yield file(`part${n % 40}/f${n}`, half);
  }
}

async function measure(machine: TestMachine, engine: Engine): Promise<void> {
  const root = join(machine.directory, `registry-${process.hrtime.bigint()}`);
  const serve = [join(repository, 'bin', 'wherry'), 'registry', 'serve', '--port', '5000', '--root', root];
  await using registry = machine.start(process.execPath, serve);
  await registry.waitFor('registry serves');
  const name = '127.0.0.1:5000/bench/large:1';
  await must(engine, 'tag', 'large:1', name);
  await timed(engine, engine.push, engine.pushWork, 'push', '-q', name);
  await must(engine, 'rmi', name);
  // The content must go, too, for the pull to bring it.
  await must(engine, 'rmi', 'large:1');
  await timed(engine, engine.pull, engine.pullWork, 'pull', '-q', name);
  await must(engine, 'tag', name, 'large:1');
  await must(engine, 'rmi', name);
}

async function timed(engine: Engine, times: number[], work: number[], ...args: string[]): Promise<void> {
  const [began, used] = [performance.now(), await processorSeconds(engine.pid)];
  await must(engine, ...args);
  times.push(performance.now() - began);
  work.push((await processorSeconds(engine.pid)) - used);
}

async function must({ docker }: Engine, ...args: string[]): Promise<void> {
  const { code, stderr } = await docker(args);
  if (code !== 0) throw new Error(`docker ${args.join(' ')}: ${stderr}`);
}

/** Of a process and the children that it has waited for (proc(5), `stat`). */
async function processorSeconds(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]!.split(' ').map(Number);
  return (fields[11]! + fields[12]! + fields[13]! + fields[14]!) / 100;
}

async function memory(pid: number, field: 'VmRSS' | 'VmHWM'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)![1]) / 1000;
}
