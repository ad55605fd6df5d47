import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { WherryError } from '@wherry/base';
import { insideNamespaces, pinNewNamespaces, removePinnedNamespace, type SwitchableNamespace } from '@wherry/linux';
import type { PodSandboxConfig } from '@wherry/runtime';
import { startUserNamespace } from './user-namespace.ts';

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

/** Settings of the new namespaces only: anything else would change the host. */
function checkSysctls(config: PodSandboxConfig, kinds: readonly string[]): void {
  for (const name of Object.keys(config.sysctls ?? {})) {
    const kind = name.startsWith('net.')
      ? 'net'
      : ipcSysctl.test(name)
        ? 'ipc'
        : name === 'kernel.domainname'
          ? 'uts'
          : undefined;
    if (kind === undefined || !kinds.includes(kind) || !/^[a-z0-9_.-]+$/i.test(name) || name.includes('..'))
      throw new WherryError(
        'invalid',
        `the sysctl ${JSON.stringify(name)} does not belong to the namespaces of the pod`,
      );
  }
}

function writeSysctls(config: PodSandboxConfig): void {
  for (const [name, value] of Object.entries(config.sysctls ?? {})) {
    try {
      writeFileSync(join('/proc/sys', ...name.split('.')), value, { flag: 'r+' });
    } catch (error) {
      throw new WherryError('invalid', `cannot set the sysctl ${name} to ${JSON.stringify(value)}`, { cause: error });
    }
  }
}
