import { WherryError } from '@wherry/base';
import type { ClusterConfig } from '../machine/cluster-config.ts';
import { type ClusterWishes, ensureCluster } from '../machine/config.ts';
import type { Phase } from '../machine/machine.ts';
import { preflight } from '../machine/preflight.ts';
import { defaultRegistryAddress } from '../machine/registry-address.ts';
import { machineSlots } from '../machine/slots.ts';
import { type CliContext, type Command, nameFlag } from './context.ts';
import { daemonStatus } from './control-client.ts';
import type { ParsedFlags } from './flags.ts';
import { createProgress } from './progress.ts';
import { spawnDaemon } from './spawn-daemon.ts';
import { statusTable } from './status.ts';

const phaseTexts: Record<Phase, string> = {
  store: 'Opening the store',
  api: 'Starting the API server',
  network: 'Laying the pod network',
  engine: 'Starting the container engine',
  node: 'Joining the node',
  dns: 'Answering DNS',
};

export const upCommand: Command = {
  name: 'up',
  usage: 'wherry up [--name NAME] [--root-dir DIR]',
  summary: 'Bring up a cluster: create it, or start it again with all it had',
  flags: [
    nameFlag,
    { name: 'root-dir', type: 'string', usage: 'folder for everything that the cluster keeps' },
    { name: 'node-name', type: 'string', usage: "name of the node (default: the host's)" },
    { name: 'node-ip', type: 'string', usage: "address of the node (default: the default route's)" },
    { name: 'api-port', type: 'number', usage: 'port of the API server (default: 6443 or the next free one)' },
    { name: 'listen-address', type: 'string', usage: 'address on which the API server listens (default: 127.0.0.1)' },
    { name: 'cluster-cidr', type: 'string', usage: 'range of the pods (default: 10.244.0.0/16 or the next one)' },
    { name: 'service-cidr', type: 'string', usage: 'range of the services (default: 10.96.0.0/12 or the next one)' },
    { name: 'cgroup-parent', type: 'string', usage: 'cgroup of everything that runs (default: wherry-NAME)' },
    { name: 'engine-only', type: 'boolean', usage: 'containers by the docker API alone, without a cluster' },
    {
      name: 'registry',
      type: 'string',
      implied: defaultRegistryAddress,
      usage: 'serve a registry with the images of this machine; off for none from now on',
    },
    {
      name: 'registry-mirror',
      type: 'strings',
      usage: 'ask this mirror (a URL) before docker.io; may be given more than once, empty for none',
    },
    {
      name: 'insecure-registry',
      type: 'strings',
      usage: 'HOST[:PORT] or a range of addresses whose registries need no valid TLS; as --registry-mirror',
    },
    {
      name: 'add-runtime',
      type: 'strings',
      usage: 'NAME=PATH of another OCI runtime, for docker run --runtime and RuntimeClasses; as --registry-mirror',
    },
    {
      name: 'userns-remap',
      type: 'string',
      usage:
        "USER[:GROUP] or default: whose ranges of /etc/subuid and /etc/subgid docker's containers have; empty for none",
    },
    { name: 'merge-kubeconfig', type: 'boolean', usage: 'put the context into ~/.kube/config and make it current' },
    { name: 'quiet', short: 'q', type: 'boolean', usage: 'print nothing but errors' },
    { name: 'debug', type: 'boolean', usage: 'let the daemon log every step' },
  ],
  async run(flags, context) {
    await preflight(context.env.PATH ?? '');
    const quiet = flags.boolean('quiet');
    const wishes: ClusterWishes = {
      name: flags.string('name')!,
      rootDirectory: flags.string('root-dir'),
      nodeName: flags.string('node-name'),
      nodeIp: flags.string('node-ip'),
      apiPort: flags.number('api-port'),
      listenAddress: flags.string('listen-address'),
      clusterCidr: flags.string('cluster-cidr'),
      serviceCidr: flags.string('service-cidr'),
      cgroupParent: flags.string('cgroup-parent'),
      engineOnly: flags.boolean('engine-only') || undefined,
      registry: flags.string('registry'),
      runtimes: listOf(flags, 'add-runtime'),
      usersRemap: flags.string('userns-remap'),
      registryMirrors: listOf(flags, 'registry-mirror'),
      insecureRegistries: listOf(flags, 'insecure-registry'),
    };
    const isRunning = async (config: ClusterConfig) => (await daemonStatus(config)) !== undefined;
    const config = await ensureCluster(context.home, wishes, isRunning, machineSlots);
    if ((await daemonStatus(config)) === undefined) await start(config, context, flags.boolean('debug'), quiet);
    if (flags.boolean('merge-kubeconfig') && !config.engineOnly) {
      // Brings a YAML parser, which the way to the daemon does not wait for.
      const { mergeInto } = await import('./kubeconfig-command.ts');
      await mergeInto(config, context);
    }
    const status = await daemonStatus(config);
    if (!status) throw new WherryError('unavailable', `the daemon of ${JSON.stringify(config.name)} does not answer`);
    if (quiet) return 0;
    const named = config.name === 'wherry' ? '' : ` --name ${config.name}`;
    context.stdout.write(`${statusTable(status)}\n\n`);
    context.stdout.write(
      `  eval "$(wherry env${named})"          point docker${config.engineOnly ? '' : ' and kubectl'} here in this shell\n`,
    );
    if (!config.engineOnly) {
      context.stdout.write(
        `  wherry kubeconfig --merge${named}     or kubectl in every shell (adds a context to ~/.kube/config)\n`,
      );
      context.stdout.write('  kubectl get nodes\n');
    }
    context.stdout.write('  docker ps\n');
    return 0;
  },
};

/** The values of a flag, without empty ones; `undefined` where it was not given. */
function listOf(flags: ParsedFlags, name: string): readonly string[] | undefined {
  const values = flags.strings(name);
  return values.length === 0 ? undefined : values.filter((value) => value !== '');
}

async function start(
  config: ClusterConfig,
  { home, entry, stderr }: CliContext,
  debug: boolean,
  quiet: boolean,
): Promise<void> {
  const progress = quiet ? undefined : createProgress(stderr);
  progress?.start(`Starting ${config.engineOnly ? 'engine' : 'cluster'} ${config.name}`);
  try {
    await spawnDaemon(config, { home, entry, debug, onPhase: (phase) => progress?.start(phaseTexts[phase]) });
    progress?.done();
  } catch (error) {
    progress?.fail();
    throw error;
  }
}
