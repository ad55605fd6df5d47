import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { TarInput } from '@wherry/images';
import {
  createTestCluster,
  dockerBusyboxImage,
  repository,
  type TestCluster,
  writeDockerArchive,
} from '@wherry/testkit';
import { Pings } from './pings.ts';
import { disposed, type Measure, quantile } from './report.ts';

const smallFiles = 20_000;
const largeFiles = 10;
/** Of the daemon's event loop (ms). */
const target = 20;

/**
 * How late the daemon answers others while it works on an image of 400 MB in 20,000 files: pings on its socket, without what
 * both sides wait for a processor, of which others on the machine take as much as they will.
 */
export async function measureLateness(): Promise<Measure[]> {
  const cluster = await createTestCluster({ upArgs: ['--engine-only'] });
  try {
    await cluster.loadImage(await dockerBusyboxImage(), ['busybox:latest']);
    return await measureOn(cluster);
  } finally {
    await disposed(cluster);
  }
}

async function measureOn(cluster: TestCluster): Promise<Measure[]> {
  const { machine } = cluster;
  const path = (name: string): string => join(machine.directory, name);
  const pid = await cluster.daemonPid();
  const measures: Measure[] = [];
  const measure = async (name: string, work: () => Promise<unknown>): Promise<void> => {
    const pings = new Pings(path('run/wherry/docker.sock'), pid);
    const began = performance.now();
    await work();
    const took = performance.now() - began;
    const all = await pings.end();
    const times = all.map(({ own }) => own);
    const latest = Math.max(...times);
    const withWaits = Math.max(...all.map((ping) => ping.took)).toFixed(1);
    const count = `of ${times.length} in ${(took / 1000).toFixed(1)} s`;
    const note = `p99 ${quantile(times, 0.99).toFixed(1)} ms ${count}; ${withWaits} ms with waits for a processor`;
    const idle = measures[0];
    const against = idle && { name: 'while nothing is done', value: idle.value };
    measures.push({ name: `ping while ${name}, at most`, value: latest, unit: 'ms', target, against, note });
  };
  const docker = (...args: string[]) => cluster.mustDocker(args, { timeout: 600_000 });
  await writeDockerArchive(path('large.tar'), { config: {}, layers: [{ entries: files() }] }, ['large:1']);
  await makeContext(path('context'));
  const name = '127.0.0.1:5000/large:1';
  const serve = ['registry', 'serve', '--port', '5000', '--root', path('registry')];
  await using registry = machine.start(process.execPath, [join(repository, 'bin', 'wherry'), ...serve]);
  await registry.waitFor('registry serves');

  await measure('nothing is done', () => setTimeout(2000));
  await measure('loading', () => docker('load', '-q', '-i', path('large.tar')));
  await measure('saving', () => docker('save', '-o', path('saved.tar'), 'large:1'));
  await docker('tag', 'large:1', name);
  await measure('pushing', () => docker('push', '-q', name));
  await measure('removing', () => docker('rmi', 'large:1', name));
  await measure('pulling', () => docker('pull', '-q', name));
  await measure('building', () => docker('build', '-q', '-t', 'built', path('context')));
  await measure('building, cached', () => docker('build', '-q', '-t', 'built', path('context')));
  await docker('run', '--name', 'copies', 'built', 'cp', '-a', '/x', '/y');
  await measure('committing', () => docker('commit', 'copies', 'committed'));
  await measure('removing a container', () => docker('rm', 'copies'));
  return measures;
}

/** Half in small files, half in large ones; half of each compressible. */
function* files(): Generator<TarInput> {
  const file = (name: string, half: number): TarInput => {
    const content = Buffer.concat([randomBytes(half), Buffer.alloc(half, 'some text ')]);
    return { name, type: 'file', mode: 0o644, content };
  };
  for (let n = 0; n < smallFiles; n++) yield file(`x/part${Math.floor(n / 100)}/f${n}`, 2500 + ((n * 977) % 5000));
  for (let n = 0; n < largeFiles; n++) yield file(`x/lib${n}`, 10_000_000);
}

async function makeContext(folder: string): Promise<void> {
  for (const { name, content } of files()) {
    const path = join(folder, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content as Buffer);
  }
  await writeFile(join(folder, 'Dockerfile'), 'FROM busybox\nCOPY x /x\n');
}
