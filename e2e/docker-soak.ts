// Many containers at once and one after the other, and what they leave behind:
//   node tools/run.mjs e2e/docker-soak.ts [CYCLES (1000)] [AT ONCE (200)]
// Ends with 1 when a descriptor, mount, namespace, cgroup, rule or more than 40 MB of memory is left over.
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { createTestCluster, dockerBusyboxImage } from '@wherry/testkit';
import Docker from 'dockerode';

const [cycles = 1000, atOnce = 200] = process.argv.slice(2).map(Number);
const parallel = 8;
const engine = await createTestCluster({ upArgs: ['--engine-only'] });
await engine.loadImage(await dockerBusyboxImage(), ['busybox:latest']);
const docker = new Docker({ socketPath: engine.dockerHost.replace('unix://', '') });
const pid = await engine.daemonPid();
const options = { Image: 'busybox', Cmd: ['sleep', '600'], StopTimeout: 0 };

/** What a leak would make grow. */
async function footprint(): Promise<Record<string, number>> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const mounts = (await readFile(`/proc/${pid}/mountinfo`, 'utf8')).split('\n');
  const { stdout } = await engine.machine.run('nft', ['-j', 'list', 'ruleset']);
  const { stdout: cgroups } = await engine.machine.run('sh', [
    '-c',
    `find /sys/fs/cgroup -path '*${engine.machine.cgroupParent}*' -type d | wc -l`,
  ]);
  const { stdout: links } = await engine.machine.run('sh', ['-c', 'ls /sys/class/net | wc -l; ip link | grep -c ^']);
  return {
    memoryMB: Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024),
    descriptors: (await readdir(`/proc/${pid}/fd`)).length,
    threads: Number(/Threads:\s+(\d+)/.exec(status)?.[1]),
    mounts: mounts.filter((line) => line.includes(engine.machine.directory)).length,
    rules: stdout.length,
    cgroups: Number(cgroups),
    links: Number(links.split('\n')[1]),
    processes: (await engine.processes()).length,
  };
}

async function inParallel(count: number, work: (index: number) => Promise<void>): Promise<number> {
  const began = performance.now();
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  return performance.now() - began;
}

async function cycle(): Promise<void> {
  const container = await docker.createContainer(options);
  await container.start();
  await container.stop({ t: 0 });
  await container.remove();
}

let code = 0;
try {
  await inParallel(20, cycle);
  const before = await footprint();
  console.log('before', before);
  const started: Docker.Container[] = [];
  const up = await inParallel(atOnce, async () => {
    const container = await docker.createContainer({ ...options, HostConfig: { PublishAllPorts: true } });
    await container.start();
    started.push(container);
  });
  console.log(`${atOnce} at once in ${Math.round(up)} ms`, await footprint());
  const down = await inParallel(atOnce, (index) => started[index]!.remove({ force: true }));
  console.log(`removed in ${Math.round(down)} ms`);
  const took = await inParallel(cycles, cycle);
  console.log(
    `${cycles} cycles in ${Math.round(took)} ms: ${(took / cycles).toFixed(1)} ms each, ${parallel} side by side`,
  );
  // Memory is given back once the daemon is at rest.
  await delay(25_000);
  const after = await footprint();
  console.log('after', after);
  const allowed: Record<string, number> = { memoryMB: 40, descriptors: 4, threads: 4, rules: 200 };
  for (const [name, value] of Object.entries(after))
    if (value > before[name]! + (allowed[name] ?? 0)) {
      console.log(`LEFT OVER: ${name} ${before[name]} -> ${value}`);
      code = 1;
    }
} finally {
  await engine[Symbol.asyncDispose]();
}
process.exit(code);
