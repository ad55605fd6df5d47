// npm run bench [-- --only containers,start-up,idle,pods,api,growth,engine,images,transfers,build,many-files,networks,restart,lateness] [--json FILE]; the last eight only when they are named
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createTestCluster, repository } from '@wherry/testkit';
import { measureBuild } from './build.ts';
import { measureContainerFloor } from './container-floor.ts';
import { measureContainers } from './containers.ts';
import { measureEngine } from './engine.ts';
import { measureEngineRestart } from './engine-restart.ts';
import type { GrowthOptions } from './growth.ts';
import { measureIdle } from './idle.ts';
import { measureImages } from './images.ts';
import { measureLateness } from './lateness.ts';
import { measureManyFiles } from './many-files.ts';
import { measureNetworks } from './networks.ts';
import { measureRegistry } from './registry.ts';
import { disposed, formatReport, type Measure } from './report.ts';
import { measureStartUp } from './start-up.ts';
import { measureTransfers } from './transfers.ts';

const argument = (name: string): string | undefined => {
  const at = process.argv.indexOf(name);
  return at < 0 ? undefined : process.argv[at + 1];
};
const only = argument('--only')?.split(',');
const wanted = (section: string): boolean => only === undefined || only.includes(section);
const measures: Measure[] = [];
const say = (section: string): boolean => process.stderr.write(`bench: ${section}\n`);

if (only?.includes('engine') && say('engine')) measures.push(...(await measureEngine()));
if (only?.includes('images') && say('images')) measures.push(...(await measureImages()));
if (only?.includes('transfers') && say('transfers')) measures.push(...(await measureTransfers()));
if (only?.includes('lateness') && say('lateness')) measures.push(...(await measureLateness()));
if (only?.includes('build') && say('build')) measures.push(...(await measureBuild()));
if (only?.includes('many-files') && say('many-files')) measures.push(...(await measureManyFiles()));
if (only?.includes('restart') && say('restart')) measures.push(...(await measureEngineRestart()));
if (wanted('containers') && say('containers')) measures.push(...(await measureContainers()));
if (only?.includes('networks') && say('networks')) measures.push(...(await measureNetworks()));
if (wanted('start-up') && say('start-up')) measures.push(...(await measureStartUp()));
if (wanted('registry') && say('registry')) measures.push(...(await measureRegistry()));
if (['idle', 'pods', 'api', 'growth'].some(wanted)) {
  const cluster = await createTestCluster();
  try {
    const inside = async (section: string, given?: unknown): Promise<void> => {
      const ran = await cluster.machine.run(
        process.execPath,
        [
          join(repository, 'tools', 'run.mjs'),
          join(repository, 'bench', 'inside.ts'),
          section,
          cluster.kubeconfigPath,
          JSON.stringify(given ?? null),
        ],
        { timeout: 300_000 },
      );
      if (ran.code !== 0) throw new Error(`${section}: ${ran.stderr}`);
      measures.push(...(JSON.parse(ran.stdout) as Measure[]));
    };
    if (wanted('idle') && say('idle')) measures.push(...(await measureIdle(cluster)));
    if (wanted('pods') || wanted('growth')) await cluster.loadTestImages();
    if (wanted('pods') && say('pods')) await inside('pods', await measureContainerFloor(cluster.machine));
    if (wanted('api') && say('api')) await inside('api');
    if (wanted('growth') && say('growth')) {
      const { cgroupParent, directory } = cluster.machine;
      const runDirectory = join(directory, 'run', 'wherry');
      await inside('growth', { pid: await cluster.daemonPid(), runDirectory, cgroupParent } satisfies GrowthOptions);
    }
  } finally {
    await disposed(cluster);
  }
}

process.stdout.write(`${formatReport(measures)}\n`);
const file = argument('--json');
if (file) await writeFile(file, `${JSON.stringify(measures, null, 2)}\n`);
process.exit(0);
