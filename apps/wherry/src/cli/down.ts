import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type Clock,
  codeOf,
  jsonLogger,
  removeTree,
  silentLogger,
  systemClock,
  systemRandom,
  WherryError,
} from '@wherry/base';
import type { ClusterConfig } from '../machine/cluster-config.ts';
import { forgetCluster } from '../machine/config.ts';
import { type CliContext, type Command, nameFlag } from './context.ts';
import { daemonStatus, stopContainers, stopDaemon } from './control-client.ts';
import { userKubeconfigPath } from './kubeconfig-command.ts';
import { unmergeKubeconfig } from './kubeconfig-merge.ts';
import { createProgress } from './progress.ts';
import { knownCluster } from './status.ts';

const stopTimeout = 30_000;

export const downCommand: Command = {
  name: 'down',
  usage: 'wherry down [--name NAME] [--purge]',
  summary: 'Stop a cluster and remove every process, mount, namespace, interface, rule and cgroup that it made',
  flags: [
    nameFlag,
    { name: 'purge', type: 'boolean', usage: 'remove what it stored as well: objects, images, certificates' },
    { name: 'quiet', short: 'q', type: 'boolean', usage: 'print nothing but errors' },
    { name: 'debug', type: 'boolean', usage: 'log every step' },
  ],
  async run(flags, context) {
    const config = await knownCluster(context.home, flags.string('name')!);
    const progress = flags.boolean('quiet') ? undefined : createProgress(context.stderr);
    try {
      // What they write in their last seconds is removed, too, by a purge.
      if (!flags.boolean('purge')) {
        progress?.start('Stopping containers');
        await endContainers(config);
      }
      progress?.start('Stopping the daemon');
      await endDaemon(config, systemClock);
      progress?.start('Removing containers and networks');
      const { destroyMachine } = await import('../machine/destroy.ts');
      const log = flags.boolean('debug') ? jsonLogger((line) => context.stderr.write(line), 'debug') : silentLogger;
      await destroyMachine(config, { log, clock: systemClock, random: systemRandom });
      if (flags.boolean('purge')) {
        progress?.start('Removing what it stored');
        await purge(config, context);
      }
      progress?.done();
    } catch (error) {
      progress?.fail();
      throw error;
    }
    return 0;
  },
};

/** Lets docker's containers end by themselves while there is a daemon to see it. */
async function endContainers(config: ClusterConfig): Promise<void> {
  if ((await daemonStatus(config)) === undefined) return;
  await stopContainers(config).catch((error: unknown) => {
    // A daemon of before this call.
    if (codeOf(error) !== 'notFound') throw error;
  });
}

/** Asks the daemon to end and waits until its process is gone. */
async function endDaemon(config: ClusterConfig, clock: Clock): Promise<void> {
  const status = await daemonStatus(config);
  if (!status) return;
  await stopDaemon(config);
  const deadline = clock.now() + stopTimeout;
  while (isAlive(status.pid)) {
    if (clock.now() > deadline)
      throw new WherryError('timeout', `the daemon (pid ${status.pid}) did not end within ${stopTimeout / 1000} s`);
    await delay(10);
  }
}

/** Whether a process runs; one that has ended and waits for its parent to notice (state Z, proc(5)) does not. */
function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
  } catch {
    return false;
  }
}

async function purge(config: ClusterConfig, context: CliContext): Promise<void> {
  await removeTree(config.rootDirectory);
  await unmergeKubeconfig(userKubeconfigPath(context.env), config.name);
  await forgetCluster(context.home, config.name);
}
