// Many containers at once and one after the other, on a network of a user's with published ports and on none, with a
// kill -9 of the daemon in between, and what they leave behind:
//   node tools/run.mjs e2e/docker-soak.ts [CYCLES (1000)] [AT ONCE (200)]
// Ends with 1 when a container is not what it should be, or when a mount, namespace, cgroup, interface, rule, process or
// file is left over, or more than a few descriptors and threads or 40 MB of memory.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createTestCluster, dockerBusyboxImage } from '@wherry/testkit';
import Docker from 'dockerode';
import { engineFootprint } from './engine-footprint.ts';

const [cycles = 1000, atOnce = 200] = process.argv.slice(2).map(Number);
const parallel = 8;
const engine = await createTestCluster({ upArgs: ['--engine-only'] });
await engine.loadImage(await dockerBusyboxImage(), ['busybox:latest']);
const docker = new Docker({ socketPath: engine.dockerHost.replace('unix://', '') });
const plain = { Image: 'busybox', Cmd: ['sleep', '600'], StopTimeout: 0 };
const published = {
  ...plain,
  Cmd: ['httpd', '-f', '-p', '80', '-h', '/etc'],
  ExposedPorts: { '80/tcp': {} },
  HostConfig: { NetworkMode: 'soak', PublishAllPorts: true },
};

/** What of the daemon a leak would make grow. */
async function daemonFacts(): Promise<Record<string, number>> {
  const pid = await engine.daemonPid();
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return {
    memoryMB: Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024),
    descriptors: (await readdir(`/proc/${pid}/fd`)).length,
    threads: Number(/Threads:\s+(\d+)/.exec(status)?.[1]),
  };
}

async function inParallel(count: number, work: (index: number) => Promise<void>): Promise<number> {
  const began = performance.now();
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  return Math.round(performance.now() - began);
}

async function cycle(index: number): Promise<void> {
  const container = await docker.createContainer(index % 2 === 0 ? plain : published);
  await container.start();
  await container.stop({ t: 0 });
  await container.remove();
}

/** Memory is given back, and the last clean-ups are done, once the daemon is at rest. */
const rest = (): Promise<void> => delay(25_000);

let code = 0;
const complain = (text: string): void => {
  console.log(text);
  code = 1;
};

/** That all of them run, answer on their ports, and find each other by name. */
async function checkAll(): Promise<void> {
  const running = await docker.listContainers();
  if (running.length !== atOnce) complain(`WRONG: ${running.length} of ${atOnce} run`);
  const ports = running.map(({ Ports }) => Ports.find(({ IP }) => IP === '0.0.0.0')?.PublicPort);
  const urls = ports.map((port) => `http://127.0.0.1:${port}/hostname`);
  const { stdout } = await engine.machine.run('curl', ['-s', '--max-time', '10', ...urls]);
  const answered = new Set(stdout.trim().split('\n'));
  if (answered.size !== atOnce) complain(`WRONG: ${answered.size} of ${atOnce} answer on their ports`);
  const names = running.map(({ Id }) => Id.slice(0, 12));
  const asking = ['sh', '-c', `for name in ${names.join(' ')}; do nslookup -type=a $name | grep -c "Name:"; done`];
  const found = await engine.mustDocker(['exec', names[0]!, ...asking]);
  const resolved = found.split('\n').filter((line) => line === '1').length;
  if (resolved !== atOnce) complain(`WRONG: ${resolved} of ${atOnce} are found by name`);
}

try {
  await docker.createNetwork({ Name: 'soak' });
  await inParallel(20, cycle);
  await rest();
  const clean = await engineFootprint(engine);
  console.log('before', await daemonFacts());
  const started: Docker.Container[] = [];
  const up = await inParallel(atOnce, async () => {
    const container = await docker.createContainer(published);
    await container.start();
    started.push(container);
  });
  console.log(`${atOnce} at once with ports and names in ${up} ms`, await daemonFacts());
  await checkAll();
  await engine.killDaemon();
  const began = performance.now();
  await engine.startAgain();
  console.log(`killed; up again in ${Math.round(performance.now() - began)} ms`, await daemonFacts());
  await checkAll();
  console.log(`removed in ${await inParallel(atOnce, (index) => started[index]!.remove({ force: true }))} ms`);
  await inParallel(20, cycle);
  await rest();
  const before = await daemonFacts();
  console.log('before the cycles', before);
  const took = await inParallel(cycles, cycle);
  console.log(`${cycles} cycles in ${took} ms: ${(took / cycles).toFixed(1)} ms each, ${parallel} side by side`);
  await rest();
  const after = await daemonFacts();
  console.log('after', after);
  const allowed: Record<string, number> = { memoryMB: 40, descriptors: 4, threads: 4 };
  for (const [name, value] of Object.entries(after))
    if (value > before[name]! + allowed[name]!) complain(`LEFT OVER: ${name} ${before[name]} -> ${value}`);
  const there = new Set(clean);
  for (const fact of await engineFootprint(engine)) if (!there.has(fact)) complain(`LEFT OVER: ${fact}`);
} catch (error) {
  complain(`FAILED: ${(error as Error).stack}`);
  console.log((await readFile(join(engine.machine.directory, 'root/log/daemon.log'), 'utf8')).slice(-4000));
} finally {
  await engine[Symbol.asyncDispose]();
}
process.exit(code);
