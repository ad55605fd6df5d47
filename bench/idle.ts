import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestCluster } from '@wherry/testkit';
import type { Measure } from './report.ts';

const window = 20_000;
const ticksPerSecond = 100; // USER_HZ, fixed on Linux

/** What a cluster without workload takes once it has settled: resident memory, and CPU over a window. */
export async function measureIdle(cluster: TestCluster): Promise<Measure[]> {
  const pid = await cluster.daemonPid();
  await sleep(10_000);
  const before = await cpuSeconds(pid);
  const switches = await contextSwitches(pid);
  await sleep(window);
  const cpu = ((await cpuSeconds(pid)) - before) / (window / 1000);
  const wakes = ((await contextSwitches(pid)) - switches) / (window / 1000);
  const bare = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6)'], { stdio: 'ignore' });
  await sleep(500);
  const floor = await residentMegabytes(bare.pid!);
  bare.kill();
  return [
    {
      name: 'idle memory, everything',
      value: await residentMegabytes(pid),
      unit: 'MB',
      against: { name: 'bare Node', value: floor },
      target: 150,
      note: 'RSS; upstream 694 MB',
    },
    {
      name: 'idle CPU',
      value: cpu * 100,
      unit: '%',
      target: 0.5,
      note: `${wakes.toFixed(1)} wake-ups/s of the main thread; upstream 5.6 %`,
    },
  ];
}

async function residentMegabytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
}

async function cpuSeconds(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

async function contextSwitches(pid: number): Promise<number> {
  return Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]);
}
