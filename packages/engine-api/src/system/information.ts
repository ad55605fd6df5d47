import { readdirSync } from 'node:fs';
import { systemClock } from '@wherry/base';
import type { EngineApiOptions } from '../options.ts';
import type { RuntimeFacts, SystemFacts } from './facts.ts';

type Members = Readonly<Record<string, unknown>>;

/** `GET /info`. */
export async function informationOf(options: EngineApiOptions, speaks: (minor: number) => boolean): Promise<Members> {
  const { containers, images, clock = systemClock } = options;
  const [facts, summaries] = await Promise.all([options.facts(), images.summaries()]);
  const { running, paused, stopped } = containers.counts();
  return {
    ID: facts.id,
    Containers: running + paused + stopped,
    ContainersRunning: running,
    ContainersPaused: paused,
    ContainersStopped: stopped,
    Images: summaries.length,
    Driver: 'overlay2',
    DriverStatus: [
      ['Backing Filesystem', facts.backingFilesystem],
      ['Supports d_type', 'true'],
      ['Using metacopy', String(facts.storage.metacopy)],
      ['Native Overlay Diff', 'true'],
      ['userxattr', 'false'],
    ],
    Plugins: { Volume: ['local'], Network: facts.networkDrivers, Authorization: null, Log: facts.logDrivers },
    ...limitsOf(facts),
    IPv4Forwarding: facts.ipv4Forwarding,
    ...(speaks(50) ? {} : { BridgeNfIptables: false, BridgeNfIp6tables: false }),
    Debug: false,
    NFd: openFiles(),
    NGoroutines: 0,
    SystemTime: new Date(clock.now()).toISOString(),
    LoggingDriver: 'json-file',
    CgroupDriver: 'cgroupfs',
    CgroupVersion: String(facts.cgroupVersion),
    NEventsListener: options.events.listeners,
    KernelVersion: facts.kernelVersion,
    OperatingSystem: facts.operatingSystem,
    OSVersion: facts.operatingSystemVersion,
    OSType: 'linux',
    Architecture: facts.machine,
    IndexServerAddress: 'https://index.docker.io/v1/',
    RegistryConfig: registriesOf(facts),
    NCPU: facts.processors,
    MemTotal: facts.memoryBytes,
    GenericResources: null,
    DockerRootDir: facts.rootDirectory,
    HttpProxy: '',
    HttpsProxy: '',
    NoProxy: '',
    Name: facts.hostname,
    Labels: facts.labels,
    ExperimentalBuild: false,
    ServerVersion: facts.version,
    Runtimes: Object.fromEntries(
      facts.runtimes.map(({ name, path, args }) => [name, args.length === 0 ? { path } : { path, runtimeArgs: args }]),
    ),
    DefaultRuntime: facts.runtimes[0]?.name ?? '',
    Swarm: {
      NodeID: '',
      NodeAddr: '',
      LocalNodeState: 'inactive',
      ControlAvailable: false,
      Error: '',
      RemoteManagers: null,
    },
    // Monitors own the containers, so a restart of the engine leaves them running.
    LiveRestoreEnabled: true,
    Isolation: '',
    InitBinary: facts.initBinary,
    ContainerdCommit: commitOf(undefined),
    RuncCommit: commitOf(facts.runtimes.find(({ name }) => name === 'runc')),
    InitCommit: commitOf(undefined),
    SecurityOptions: facts.securityOptions,
    CDISpecDirs: [],
    Warnings: facts.warnings.length === 0 ? null : facts.warnings,
  };
}

/** Descriptors of this process. */
function openFiles(): number {
  return readdirSync('/proc/self/fd').length;
}

function limitsOf({ limits, cgroupVersion }: SystemFacts): Members {
  return {
    MemoryLimit: limits.memory,
    SwapLimit: limits.swap,
    KernelMemoryTCP: cgroupVersion === 1 && limits.memory ? true : undefined,
    CpuCfsPeriod: limits.cpuQuota,
    CpuCfsQuota: limits.cpuQuota,
    CPUShares: limits.cpuShares,
    CPUSet: limits.cpuset,
    PidsLimit: limits.pids,
    OomKillDisable: limits.oomKillDisable,
  };
}

function registriesOf({ insecureRegistries, registryMirrors }: SystemFacts): Members {
  const ranges = insecureRegistries.filter((registry) => registry.includes('/'));
  const hosts = insecureRegistries.filter((registry) => !registry.includes('/'));
  return {
    IndexConfigs: Object.fromEntries([
      ['docker.io', { Mirrors: registryMirrors, Name: 'docker.io', Official: true, Secure: true }],
      ...hosts.map((host) => [host, { Mirrors: [], Name: host, Official: false, Secure: false }]),
    ]),
    InsecureRegistryCIDRs: ranges,
    Mirrors: registryMirrors.length === 0 ? null : registryMirrors,
  };
}

function commitOf(runtime: RuntimeFacts | undefined): Members {
  const ID = runtime?.commit || runtime?.version || '';
  return ID === '' ? { ID } : { ID, Expected: ID };
}
