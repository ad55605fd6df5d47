import { createTestCluster, dockerBusyboxImage } from '@wherry/testkit';
import Docker from 'dockerode';
import { cpuSeconds } from './process-facts.ts';
import { disposed, type Measure, median } from './report.ts';

const crowds = [0, 50, 200, 400];
const rounds = 3;
const parallel = 4;

/** `wherry up` after a `kill -9` of the engine's daemon, beside containers that run: until it answers, all taken over. */
export async function measureEngineRestart(): Promise<Measure[]> {
  const engine = await createTestCluster({ upArgs: ['--engine-only'] });
  try {
    await engine.loadImage(await dockerBusyboxImage(), ['busybox:latest']);
    const docker = new Docker({ socketPath: engine.dockerHost.replace('unix://', '') });
    await docker.createNetwork({ Name: 'crowd' });
    const measures: Measure[] = [];
    let started = 0;
    for (const crowd of crowds) {
      const starter = async (): Promise<void> => {
        while (started < crowd) {
          started++;
          const container = await docker.createContainer({
            Image: 'busybox',
            Cmd: ['sleep', '3600'],
            // Half of them have the embedded DNS.
            HostConfig: { NetworkMode: started % 2 === 0 ? 'crowd' : 'bridge' },
          });
          await container.start();
        }
      };
      await Promise.all(Array.from({ length: parallel }, starter));
      const took: number[] = [];
      const processor: number[] = [];
      for (let round = 0; round < rounds; round++) {
        await engine.killDaemon();
        const began = performance.now();
        await engine.startAgain();
        took.push(performance.now() - began);
        processor.push((await cpuSeconds(await engine.daemonPid())) * 1000);
        const running = (await docker.listContainers()).length;
        if (running !== crowd) throw new Error(`${running} of ${crowd} containers run after a restart`);
      }
      measures.push({
        name: `engine: restart beside ${crowd} containers`,
        value: median(took),
        unit: 'ms',
        note: `runs ${took.map(Math.round).join(', ')}; ${Math.round(median(processor))} ms of a processor`,
      });
    }
    return measures;
  } finally {
    await disposed(engine);
  }
}
