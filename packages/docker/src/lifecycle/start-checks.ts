import { isIP } from 'node:net';
import { WherryError } from '@wherry/base';
import { logSettings } from '../config/log-config.ts';
import type { HostConfig } from '../config/types.ts';

/** What dockerd looks at only when a container starts. Throws in its words. */
export function checkSpecification(host: HostConfig): void {
  for (const { Driver: driver, Capabilities: capabilities } of host.DeviceRequests ?? []) {
    const wanted = (capabilities ?? []).map((all) => `[${all.join(' ')}]`).join(' ');
    throw internal(`could not select device driver ${JSON.stringify(driver)} with capabilities: [${wanted}]`);
  }
  for (const server of host.Dns ?? [])
    if (isIP(server) === 0)
      throw internal(`bad nameserver address ${server}: ParseAddr(${JSON.stringify(server)}): unable to parse IP`);
  if (host.CpuShares < 0) throw internal('shares: invalid argument');
  for (const { ReadOnly: readOnly, BindOptions: options } of host.Mounts ?? [])
    checkReadOnly(readOnly === true, options);
}

function checkReadOnly(readOnly: boolean, options: NonNullable<HostConfig['Mounts']>[number]['BindOptions']): void {
  const { ReadOnlyNonRecursive: shallow, ReadOnlyForceRecursive: deep } = options ?? {};
  const conflict = (what: string): WherryError => internal(`mount options conflict: ${what}`);
  if (!readOnly && shallow === true) throw conflict('!ReadOnly && BindOptions.ReadOnlyNonRecursive');
  if (!readOnly && deep === true) throw conflict('!ReadOnly && BindOptions.ReadOnlyForceRecursive');
  if (shallow === true && deep === true) throw conflict('ReadOnlyNonRecursive && BindOptions.ReadOnlyForceRecursive');
}

/** What keeps the container's task from being made: a log that cannot be opened, limits that the runtime refuses. */
export function checkTask(host: HostConfig, cgroupVersion: 1 | 2): void {
  const settings = logSettings(host.LogConfig);
  if ('problem' in settings)
    throw internal(`failed to create task for container: failed to initialize logging driver: ${settings.problem}`);
  const refusal = cgroupVersion === 1 ? refusalOfShares(host.CpuShares) : undefined;
  if (refusal === undefined) return;
  const reason = `error during container init: error setting cgroup config for procHooks process: ${refusal}`;
  throw new WherryError('internal', reason, { details: { reason } });
}

const leastShares = 2;
const mostShares = 262_144;

/** Version 1 of the cgroups takes less and more, and makes the nearest that it has of it; runc refuses them. */
export function refusalOfShares(shares: number): string | undefined {
  if (shares > 0 && shares < leastShares) return `the minimum allowed cpu-shares is ${leastShares}`;
  // A negative number is a very large one there.
  return shares > mostShares || shares < 0 ? `the maximum allowed cpu-shares is ${mostShares}` : undefined;
}

function internal(text: string): WherryError {
  return new WherryError('internal', text);
}
