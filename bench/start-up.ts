import { join } from 'node:path';
import { createTestMachine, repository, runProgram, type TestMachine } from '@wherry/testkit';
import { disposed, type Measure, median } from './report.ts';

const rounds = 5;

/** `wherry up` from the command to "API ready, node Ready, DNS answering": cold, and again with its state. */
export async function measureStartUp(): Promise<Measure[]> {
  const cold: number[] = [];
  const warm: number[] = [];
  const floor: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const machine = await createTestMachine();
    try {
      floor.push(
        await timed(async () => {
          await runProgram(process.execPath, ['-e', '0']);
          await runProgram(process.execPath, ['-e', '0']);
        }),
      );
      const wherry = commandOf(machine);
      const up = [
        'up',
        '--root-dir',
        join(machine.directory, 'root'),
        '--node-name',
        'node1',
        '--cgroup-parent',
        machine.cgroupParent,
        '--quiet',
      ];
      cold.push(await timed(() => wherry(up)));
      await wherry(['down', '--quiet']);
      warm.push(await timed(() => wherry(up)));
      await wherry(['down', '--purge', '--quiet']);
    } finally {
      await disposed(machine);
    }
  }
  const against = { name: 'two bare Node starts', value: median(floor) };
  return [
    {
      name: 'wherry up, cold: API, node and DNS ready',
      value: median(cold),
      unit: 'ms',
      against,
      target: 1500,
      note: `runs ${cold.map(Math.round).join(', ')}; upstream without DNS 2870 ms`,
    },
    {
      name: 'wherry up, restart with state',
      value: median(warm),
      unit: 'ms',
      against,
      target: 1500,
      note: `runs ${warm.map(Math.round).join(', ')}; upstream 3320 ms`,
    },
  ];
}

function commandOf(machine: TestMachine): (args: readonly string[]) => Promise<void> {
  const env = {
    WHERRY_HOME: join(machine.directory, 'home'),
    WHERRY_RUN: join(machine.directory, 'run'),
    HOME: machine.directory,
  };
  return async (args) => {
    const ran = await machine.run(process.execPath, [join(repository, 'bin', 'wherry'), ...args], { env });
    if (ran.code !== 0) throw new Error(`wherry ${args.join(' ')}: ${ran.stderr}`);
  };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}
