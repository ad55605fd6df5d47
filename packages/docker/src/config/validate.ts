import { isIP } from 'node:net';
import { isAbsolute } from 'node:path';
import { WherryError } from '@wherry/base';
import { normaliseCapabilities } from './capabilities.ts';
import { checkNamespaceModes } from './modes.ts';
import { checkMountSpec } from './mount-specs.ts';
import { checkPortBindings } from './ports.ts';
import { checkResources, type HostFacts } from './resources.ts';
import { checkRestartPolicy } from './restart-policy.ts';
import { parseSignal } from './signals.ts';
import type { ContainerConfig, HealthConfig, HostConfig } from './types.ts';

/** What the daemon can do, for the checks of a new container. */
export interface Abilities extends HostFacts {
  readonly runtimes: ReadonlySet<string>;
  /** Containers have users of their own unless they ask for the machine's. */
  readonly ownUsers: boolean;
  /** Whether a path is there on the host: `--mount type=bind` refuses others. */
  readonly exists: (path: string) => boolean;
}

/** Everything that dockerd checks before it looks at the image, in its order; gives its warnings. */
export function checkContainer(config: ContainerConfig, host: HostConfig, abilities: Abilities): string[] {
  checkConfig(config);
  checkHostConfig(host, abilities);
  return checkPlatform(host, abilities);
}

function checkConfig(config: ContainerConfig): void {
  if (config.WorkingDir !== '' && !isAbsolute(config.WorkingDir))
    refuse(`the working directory '${config.WorkingDir}' is invalid, it needs to be an absolute path`);
  if ((config.StopSignal ?? '') !== '') parseSignal(config.StopSignal ?? '');
  for (const variable of config.Env ?? [])
    if (variable === '' || variable.startsWith('=')) refuse(`invalid environment variable: ${variable}`);
  if (config.Healthcheck !== undefined) checkHealth(config.Healthcheck);
}

const millisecond = 1_000_000;

function checkHealth(health: HealthConfig): void {
  for (const name of ['Interval', 'Timeout', 'StartPeriod', 'StartInterval'] as const) {
    const value = health[name] ?? 0;
    if (value !== 0 && value < millisecond) refuse(`${name} in Healthcheck cannot be less than 1ms`);
    if (name === 'Timeout' && (health.Retries ?? 0) < 0) refuse('Retries in Healthcheck cannot be negative');
  }
}

function checkHostConfig(host: HostConfig, abilities: Abilities): void {
  if (host.AutoRemove && !['', 'no'].includes(host.RestartPolicy.Name))
    refuse("can't create 'AutoRemove' container with restart policy");
  for (const mount of host.Mounts ?? []) checkMountSpec(mount, abilities.exists);
  for (const entry of host.ExtraHosts ?? []) checkExtraHost(entry);
  checkPortBindings(host.PortBindings ?? {});
  checkRestartPolicy(host.RestartPolicy);
  normaliseCapabilities('CapAdd', host.CapAdd);
  normaliseCapabilities('CapDrop', host.CapDrop);
  checkNamespaceModes(host);
  for (const key of Object.keys(host.Annotations ?? {}))
    if (key === '') refuse('invalid Annotations: the empty string is not permitted as an annotation key');
}

function checkExtraHost(entry: string): void {
  const at = entry.search(/[:=]/);
  const name = entry.slice(0, at);
  if (at <= 0 || entry.length === at + 1) refuse(`bad format for add-host: ${JSON.stringify(entry)}`);
  const address = entry.slice(at + 1).replace(/^\[(.*)\]$/, '$1');
  if (name.length === 0 || (address !== 'host-gateway' && isIP(address) === 0))
    refuse(`invalid IP address in add-host: ${JSON.stringify(address)}`);
}

function checkOwnUsers(host: HostConfig): void {
  if (host.Privileged)
    refuse(
      'privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode',
    );
  if (host.NetworkMode === 'host') refuse("cannot share the host's network namespace when user namespaces are enabled");
  if (host.PidMode === 'host') refuse('cannot share the host PID namespace when user namespaces are enabled');
}

function checkPlatform(host: HostConfig, abilities: Abilities): string[] {
  const warnings = checkResources(host, abilities, false);
  const { CpuRealtimePeriod: period, CpuRealtimeRuntime: runtime } = host;
  if (period !== 0 && runtime !== 0 && runtime > period)
    throw new WherryError('internal', 'cpu real-time runtime cannot be higher than cpu real-time period');
  if (host.ShmSize < 0) refuse('SHM size can not be less than 0');
  if (host.OomScoreAdj < -1000 || host.OomScoreAdj > 1000)
    refuse(`Invalid value ${host.OomScoreAdj}, range for oom score adj is [-1000, 1000]`);
  if (abilities.ownUsers && host.UsernsMode !== 'host') checkOwnUsers(host);
  if (host.Runtime !== '' && !abilities.runtimes.has(host.Runtime))
    refuse(`unknown or invalid runtime name: ${host.Runtime}`);
  for (const destination of Object.keys(host.Tmpfs ?? {})) {
    if (!isAbsolute(destination)) refuse(`invalid mount path: '${destination}' mount path must be absolute`);
    if (/^\/+$/.test(destination)) refuse("invalid specification: destination can't be '/'");
  }
  for (const options of Object.values(host.Tmpfs ?? {})) checkTmpfsOptions(options);
  if (host.NetworkMode === 'host' && Object.keys(host.PortBindings ?? {}).length > 0)
    warnings.push('Published ports are discarded when using host network mode');
  return warnings;
}

const tmpfsOption =
  /^(?:(?:size|mode|uid|gid|nr_inodes|nr_blocks|mpol)=.*|(?:no)?(?:exec|suid|dev|atime|diratime|relatime|strictatime|mand|iversion)|r[ow]|r?bind|a?sync|dirsync|remount|defaults|r?(?:shared|slave|private|unbindable))$/;

function checkTmpfsOptions(text: string): void {
  const unknown = text.split(',').find((option) => option !== '' && !tmpfsOption.test(option));
  if (unknown !== undefined) refuse(`invalid tmpfs option ${JSON.stringify(unknown.split('=')[0])}`);
}

function refuse(text: string): never {
  throw new WherryError('invalid', text);
}
