import { existsSync, readFileSync } from 'node:fs';
import { readFile, statfs } from 'node:fs/promises';
import { availableParallelism, hostname, machine, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { errnoOf, systemRandom, writeFileAtomically } from '@wherry/base';
import type { Engine } from '@wherry/engine';
import type { RuntimeFacts, SystemFacts } from '@wherry/engine-api';
import { findProgram, openCgroups, runProgram } from '@wherry/linux';
import { hostPlatform } from '@wherry/oci';
import { build, wherryVersion } from '../version.ts';
import type { ClusterConfig } from './cluster-config.ts';
import { machinePaths } from './paths.ts';
import { runtimesOf } from './runtimes.ts';

/** Names of file systems by the magic number that statfs(2) gives, as dockerd has them. */
const filesystems: Readonly<Record<number, string>> = {
  61267: 'extfs',
  1481003842: 'xfs',
  2435016766: 'btrfs',
  16914836: 'tmpfs',
  2035054128: 'overlayfs',
  801189825: 'zfs',
};

/** What the engine and its machine are; what cannot change is looked up once. */
export function createSystemFacts(config: ClusterConfig, engine: Engine): () => Promise<SystemFacts> {
  let unchanging: Promise<Unchanging> | undefined;
  return async () => {
    unchanging ??= lookUp(config);
    const features = engine.cgroupFeatures();
    return {
      ...(await unchanging),
      hostname: hostname(),
      memoryBytes: totalmem(),
      processors: availableParallelism(),
      cgroupVersion: openCgroups().version,
      limits: {
        memory: features.memoryLimit,
        swap: features.swapLimit,
        oomKillDisable: features.oomKillDisable,
        cpuQuota: features.cpuQuota,
        cpuShares: features.cpuShares,
        cpuset: features.cpuset,
        pids: features.pidsLimit,
      },
      ipv4Forwarding: readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8').trim() === '1',
    };
  };
}

type Unchanging = Omit<
  SystemFacts,
  'hostname' | 'memoryBytes' | 'processors' | 'cgroupVersion' | 'limits' | 'ipv4Forwarding'
>;

async function lookUp(config: ClusterConfig): Promise<Unchanging> {
  const [id, system, runtimes, monitor, { type }] = await Promise.all([
    identity(config),
    operatingSystem(),
    ociRuntimes(config),
    versionOf('conmon', /version ([\w.]+)/),
    statfs(config.rootDirectory),
  ]);
  return {
    version: wherryVersion,
    gitCommit: build.commit,
    buildTime: build.time,
    id,
    rootDirectory: config.rootDirectory,
    kernelVersion: release(),
    operatingSystem: system.PRETTY_NAME ?? 'Linux',
    operatingSystemVersion: system.VERSION_ID ?? '',
    architecture: hostPlatform().architecture,
    machine: machine(),
    backingFilesystem: filesystems[type] ?? 'unknown',
    storage: { metacopy: false },
    runtimes,
    monitor: { name: 'conmon', version: monitor },
    initBinary: 'docker-init',
    securityOptions: [
      ...(existsSync('/sys/kernel/security/apparmor') ? ['name=apparmor'] : []),
      'name=seccomp,profile=builtin',
      ...(openCgroups().version === 2 ? ['name=cgroupns'] : []),
      ...(config.usersRemap === undefined ? [] : ['name=userns']),
    ],
    insecureRegistries: [...(config.insecureRegistries ?? []), '127.0.0.0/8'],
    registryMirrors: config.registryMirrors ?? [],
    labels: [],
    // `none` is none, for dockerd's list, too.
    logDrivers: ['json-file', 'local'],
    networkDrivers: ['bridge', 'host', 'ipvlan', 'macvlan', 'null'],
    warnings: [],
  };
}

/** A UUID that stays with the machine's state. */
async function identity(config: ClusterConfig): Promise<string> {
  const path = join(machinePaths(config).docker, 'engine-id');
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
  const hex = systemRandom.hex(32);
  const uuid = [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `4${hex.slice(13, 16)}`,
    `a${hex.slice(17, 20)}`,
    hex.slice(20),
  ].join('-');
  await writeFileAtomically(path, `${uuid}\n`);
  return uuid;
}

/** os-release(5). */
async function operatingSystem(): Promise<Readonly<Record<string, string>>> {
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '');
  const entries = [...text.matchAll(/^([A-Z_]+)=(?:"([^"\n]*)"|([^\n]*))$/gm)];
  return Object.fromEntries(entries.map(([, name, quoted, plain]) => [name, quoted ?? plain ?? '']));
}

/** What is registered, whether it is installed or not. */
async function ociRuntimes(config: ClusterConfig): Promise<readonly RuntimeFacts[]> {
  return await Promise.all(
    runtimesOf(config).map(async ({ name, path, args }) => {
      const [version, commit] = await Promise.all(
        [/version ([\w.~+-]+)/, /commit: (\S+)/].map((pattern) => versionOf(path, pattern).catch(() => '')),
      );
      return { name, path: pathOf(path), args, version: version ?? '', commit: commit ?? '' };
    }),
  );
}

function pathOf(program: string): string {
  try {
    return findProgram(program);
  } catch {
    return program;
  }
}

/** A part of what a program says of its version; empty when it does not say. */
async function versionOf(program: string, pattern: RegExp): Promise<string> {
  const { stdout } = await runProgram({ path: findProgram(program), args: ['--version'] });
  return pattern.exec(stdout.toString())?.[1] ?? '';
}
