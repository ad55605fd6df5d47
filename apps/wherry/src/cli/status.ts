import { WherryError } from '@wherry/base';
import type { ClusterConfig } from '../machine/cluster-config.ts';
import { findCluster, type Home, listClusters } from '../machine/config.ts';
import type { MachineStatus } from '../machine/machine.ts';
import { type Command, nameFlag } from './context.ts';
import { daemonStatus } from './control-client.ts';
import { formatTable } from './table.ts';

/** The remembered cluster, or `notFound` with what to do. */
export async function knownCluster(home: Home, name: string): Promise<ClusterConfig> {
  const config = await findCluster(home, name);
  if (!config)
    throw new WherryError(
      'notFound',
      `there is no cluster ${JSON.stringify(name)}; create it with "wherry up${name === 'wherry' ? '' : ` --name ${name}`}"`,
    );
  return config;
}

/** A cluster's state as a table. */
export function statusTable(status: MachineStatus): string {
  const rows = status.components.map((part) => [part.name, part.ready ? 'ready' : 'not ready', part.message]);
  return formatTable(['COMPONENT', 'STATE', 'DETAILS'], rows);
}

export const statusCommand: Command = {
  name: 'status',
  usage: 'wherry status [--name NAME] [-o json]',
  summary: 'Show the state of a cluster; exits 0 only when it is ready',
  flags: [nameFlag, { name: 'output', short: 'o', type: 'string', usage: 'json for a machine to read' }],
  async run(flags, { home, stdout, stderr }) {
    const config = await knownCluster(home, flags.string('name')!);
    const output = flags.string('output');
    if (output !== undefined && output !== 'json')
      throw new WherryError(
        'invalid',
        `unable to match a printer suitable for the output format ${JSON.stringify(output)}, allowed formats are: json`,
      );
    const status = await daemonStatus(config);
    if (output === 'json')
      stdout.write(`${JSON.stringify(status ?? { name: config.name, ready: false, components: [] }, null, 2)}\n`);
    else if (status) stdout.write(`${statusTable(status)}\n`);
    else
      stderr.write(
        `cluster ${JSON.stringify(config.name)} is not running; start it with "wherry up${config.name === 'wherry' ? '' : ` --name ${config.name}`}"\n`,
      );
    return status?.ready ? 0 : 1;
  },
};

export const listCommand: Command = {
  name: 'ls',
  usage: 'wherry ls',
  summary: 'List the clusters of this machine',
  flags: [],
  async run(_flags, { home, stdout }) {
    const rows = await Promise.all(
      (await listClusters(home)).map(async (config) => {
        const status = await daemonStatus(config);
        const state = status === undefined ? 'stopped' : status.ready ? 'ready' : 'starting';
        return [
          config.name,
          state,
          status?.pods ? `${status.pods.running}/${status.pods.total}` : '-',
          status ? `${Math.round(status.memoryBytes / 2 ** 20)} MiB` : '-',
          status?.apiServer ?? '-',
          config.rootDirectory,
        ];
      }),
    );
    stdout.write(`${formatTable(['NAME', 'STATE', 'PODS', 'MEMORY', 'API SERVER', 'ROOT DIRECTORY'], rows)}\n`);
    return 0;
  },
};
