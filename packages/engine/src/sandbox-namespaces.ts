import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { insideNamespaces, pinNewNamespaces, removePinnedNamespace, type SwitchableNamespace } from '@wherry/linux';
import type { PodSandboxConfig } from '@wherry/runtime';
import { errorText, failedInside, refusedBefore } from './runtime/failures.ts';
import { startUserNamespace } from './user-namespace.ts';

/** The kernel's `__NEW_UTS_LEN`. */
const longestHostname = 64;

/** The namespaces that a sandbox has for itself. */
export function ownNamespaces({ namespaces }: PodSandboxConfig): SwitchableNamespace[] {
  const { network, ipc } = namespaces;
  const uts = namespaces.uts ?? (network === 'node' ? 'node' : 'pod');
  return [
    ...(network === 'pod' || network === 'unmanaged' ? (['net'] as const) : []),
    ...(uts === 'pod' ? (['uts'] as const) : []),
    ...(ipc === 'pod' || ipc === 'none' ? (['ipc'] as const) : []),
  ];
}

/** Pins them, with the sysctls of the sandbox set. All or nothing. */
export async function makeNamespaces(directory: string, config: PodSandboxConfig): Promise<void> {
  const kinds = ownNamespaces(config);
  checkSysctls(config, kinds);
  if (kinds.includes('uts') && Buffer.byteLength(config.hostname) > longestHostname)
    throw failedInside('sethostname: invalid argument');
  const setUp = (): void => writeSysctls(config);
  const { user } = config.namespaces;
  if (user === undefined) {
    pinNewNamespaces({ directory, kinds, hostname: config.hostname, setUp });
    return;
  }
  await startUserNamespace(directory, kinds, user, config.hostname);
  try {
    insideNamespaces(Object.fromEntries(kinds.map((kind) => [kind, join(directory, kind)])), setUp);
  } catch (error) {
    dropNamespaces(directory);
    throw error;
  }
}

/** Idempotent. */
export function dropNamespaces(directory: string): void {
  for (const kind of ['net', 'ipc', 'uts', 'user']) removePinnedNamespace(join(directory, kind));
}

const ipcSysctl = /^(kernel\.(shm|msg|sem)|fs\.mqueue\.)/;

/** Settings of the new namespaces only: anything else would change the host. Refused in runc's words. */
function checkSysctls(config: PodSandboxConfig, kinds: readonly string[]): void {
  for (const name of Object.keys(config.sysctls ?? {})) {
    const named = `sysctl ${JSON.stringify(name)}`;
    if (name === 'kernel.hostname')
      throw refusedBefore(`${named} is not allowed as it conflicts with the OCI "hostname" field`);
    if (!/^[a-z0-9_./-]+$/i.test(name) || /\.\.|\/\/|^\//.test(name))
      throw refusedBefore(`${named} is not in a separate kernel namespace`);
    const dotted = name.replaceAll('/', '.');
    if (dotted.startsWith('net.')) {
      if (!kinds.includes('net')) throw refusedBefore(`${named} not allowed in host network namespace`);
    } else if (ipcSysctl.test(dotted)) {
      if (!kinds.includes('ipc')) throw refusedBefore(`${named} is not allowed in the hosts ipc namespace`);
    } else if (dotted !== 'kernel.domainname' || !kinds.includes('uts'))
      throw refusedBefore(`${named} is not in a separate kernel namespace`);
  }
}

function writeSysctls(config: PodSandboxConfig): void {
  for (const [name, value] of Object.entries(config.sysctls ?? {})) {
    const path = join('/proc/sys', ...name.split(name.includes('/') ? '/' : '.'));
    let file: number;
    try {
      file = openSync(path, 'r+');
    } catch (error) {
      throw failedInside(`open ${path}: ${errorText(error)}`, error);
    }
    try {
      writeSync(file, value);
    } catch (error) {
      throw failedInside(`write ${path}: ${errorText(error)}`, error);
    } finally {
      closeSync(file);
    }
  }
}
