import type { Command } from './context.ts';
import { nameFlag } from './context.ts';

/** Started by `wherry up`; in the foreground for a service manager. */
export const daemonCommand: Command = {
  name: 'daemon',
  usage: 'wherry daemon [--name NAME]',
  summary: 'Run a cluster in the foreground (for a service manager; "wherry up" does it in the background)',
  flags: [
    nameFlag,
    { name: 'home', type: 'string', usage: 'where clusters are remembered' },
    { name: 'run', type: 'string', usage: 'where sockets and pinned namespaces go' },
    { name: 'debug', type: 'boolean', usage: 'log every step' },
  ],
  async run(flags, { home }) {
    const { runDaemon } = await import('../daemon.ts');
    const place = {
      directory: flags.string('home') ?? home.directory,
      runDirectory: flags.string('run') ?? home.runDirectory,
    };
    return runDaemon(place, flags.string('name')!, flags.boolean('debug') ? 'debug' : 'info');
  },
};
