import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestCluster } from '@wherry/testkit';
import { cpuSeconds, residentMegabytes, voluntarySwitches } from './process-facts.ts';
import type { Measure } from './report.ts';

const window = 20_000;

/** What a cluster without workload takes once it has settled: resident memory, and CPU over a window. */
export async function measureIdle(cluster: TestCluster): Promise<Measure[]> {
  const pid = await cluster.daemonPid();
  await sleep(10_000);
  const before = await cpuSeconds(pid);
  const switches = await voluntarySwitches(pid);
  await sleep(window);
  const cpu = ((await cpuSeconds(pid)) - before) / (window / 1000);
  const wakes = ((await voluntarySwitches(pid)) - switches) / (window / 1000);
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
