import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { errnoOf, WherryError } from '@wherry/base';
import { parse } from 'yaml';
import type { ClusterConfig } from '../machine/cluster-config.ts';
import { adminKubeconfigPath, dockerSocketPath } from '../machine/paths.ts';
import { type CliContext, type Command, nameFlag } from './context.ts';
import { mergeKubeconfig } from './kubeconfig-merge.ts';
import { knownCluster } from './status.ts';

/** The file that kubectl writes to: the first of KUBECONFIG, else ~/.kube/config. */
export function userKubeconfigPath(env: CliContext['env']): string {
  const first = (env.KUBECONFIG ?? '').split(delimiter).find((path) => path !== '');
  return first ?? join(env.HOME ?? homedir(), '.kube', 'config');
}

async function adminKubeconfig(config: ClusterConfig): Promise<string> {
  try {
    return await readFile(adminKubeconfigPath(config), 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT')
      throw new WherryError('notFound', `cluster ${JSON.stringify(config.name)} was never started; run "wherry up"`);
    throw error;
  }
}

/** Adds the cluster's context to the user's kubeconfig and says so. */
export async function mergeInto(config: ClusterConfig, context: CliContext): Promise<void> {
  const path = userKubeconfigPath(context.env);
  await mergeKubeconfig(path, parse(await adminKubeconfig(config)) as Parameters<typeof mergeKubeconfig>[1]);
  context.stderr.write(`Set kubectl context to "${config.name}" in ${path}\n`);
}

export const kubeconfigCommand: Command = {
  name: 'kubeconfig',
  usage: 'wherry kubeconfig [--name NAME] [--merge]',
  summary: "Print the administrator's kubeconfig, or merge it into ~/.kube/config",
  flags: [
    nameFlag,
    { name: 'merge', type: 'boolean', usage: 'add the context to the kubeconfig in use and make it current' },
  ],
  async run(flags, context) {
    const config = await knownCluster(context.home, flags.string('name')!);
    if (flags.boolean('merge')) await mergeInto(config, context);
    else context.stdout.write(await adminKubeconfig(config));
    return 0;
  },
};

export const envCommand: Command = {
  name: 'env',
  usage: 'eval "$(wherry env [--name NAME])"',
  summary: 'Print the shell commands that point kubectl and docker at a cluster',
  flags: [nameFlag],
  async run(flags, { home, stdout }) {
    const config = await knownCluster(home, flags.string('name')!);
    const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
    if (!config.engineOnly) stdout.write(`export KUBECONFIG=${quoted(adminKubeconfigPath(config))}\n`);
    stdout.write(`export DOCKER_HOST=${quoted(`unix://${dockerSocketPath(config)}`)}\n`);
    return 0;
  },
};
