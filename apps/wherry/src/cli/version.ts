import { kubernetesVersion } from '../version.ts';
import type { Command } from './context.ts';

export const versionCommand: Command = {
  name: 'version',
  usage: 'wherry version',
  summary: 'Print the versions of Wherry and of the Kubernetes API that it serves',
  flags: [],
  async run(_flags, { stdout, version }) {
    stdout.write(`wherry ${version} (Kubernetes ${kubernetesVersion}, Node ${process.version})\n`);
    return 0;
  },
};
