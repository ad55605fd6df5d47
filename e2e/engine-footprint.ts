import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestCluster } from '@wherry/testkit';

/** Folders with an entry for each container, below the machine's. Left out: an exit code, which the next start takes. */
const folders = [
  'root/docker/containers',
  'root/docker-networks/endpoints',
  'root/docker-networks/ports',
  'root/engine/layers',
  'root/volumes',
  'run/wherry/engine/containers',
  'run/wherry/engine/namespaces',
  'run/wherry/engine/runtime',
  'run/wherry/engine/sandboxes',
  'run/wherry/docker/builder',
];

/**
 * What there is on the machine because of containers, networks and volumes, in words: mounts (pinned namespaces are
 * some), cgroups, interfaces, elements of rules, processes, entries of folders. Nothing of it outlives them.
 */
export async function engineFootprint({ machine, processes }: TestCluster): Promise<string[]> {
  const [mounts, cgroups, links, rules] = await Promise.all([
    readFile('/proc/self/mountinfo', 'utf8'),
    machine.run('find', ['/sys/fs/cgroup', '-path', `*/${machine.cgroupParent}/*`, '-type', 'd']),
    machine.run('ip', ['-o', 'link']),
    machine.run('nft', ['list', 'ruleset']),
  ]);
  const lines = (kind: string, text: string): string[] =>
    text
      .split('\n')
      .filter(Boolean)
      .map((line) => `${kind} ${line.trim()}`);
  const entries = folders.map(async (folder) => {
    const names = await readdir(join(machine.directory, folder)).catch(() => []);
    return names.map((name) => `entry ${folder}/${name}`);
  });
  const commands = (await processes()).map(({ command }) => `process ${command}`);
  const points = mounts.split('\n').map((line) => line.split(' ')[4] ?? '');
  return [
    ...points.filter((point) => point.startsWith(machine.directory)).map((point) => `mount ${point}`),
    ...lines('cgroup', cgroups.stdout),
    ...lines('interface', links.stdout.replaceAll(/^\d+: ([^:@]+).*$/gm, '$1')),
    ...lines('rule', rules.stdout),
    ...commands,
    ...(await Promise.all(entries)).flat(),
  ].sort();
}
