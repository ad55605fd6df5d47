import { readFileSync } from 'node:fs';
import { WherryError } from '@wherry/base';
import type { CapabilitySets } from '@wherry/oci';
import type { SecurityContext } from '@wherry/runtime';

/** By their number (capabilities(7)), without `CAP_`. */
const names =
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE'.split(
    ' ',
  );

/** What every container gets unless told otherwise: the list that docker, containerd and CRI-O share. */
const defaults =
  'CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE'.split(
    ' ',
  );

/** The capabilities that this host can give: those in the bounding set of this process. */
export function availableCapabilities(status = readFileSync('/proc/self/status', 'utf8')): ReadonlySet<string> {
  const mask = BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  return new Set(names.filter((_, number) => ((mask >> BigInt(number)) & 1n) === 1n));
}

/**
 * The capabilities of a container's process. `ALL` adds or drops every one; single names then
 * count on top, as CRI has it. An unknown name is `invalid`; one that the host lacks is left out of
 * `ALL` and refused by name.
 */
export function capabilitiesOf(
  security: SecurityContext,
  available: ReadonlySet<string> = availableCapabilities(),
): CapabilitySets {
  const add = (security.addCapabilities ?? []).map(plainName);
  const drop = (security.dropCapabilities ?? []).map(plainName);
  let set = new Set(defaults.filter((name) => available.has(name)));
  if (security.privileged === true || add.includes('ALL')) set = new Set(available);
  if (drop.includes('ALL') && security.privileged !== true) set = new Set();
  if (security.privileged !== true) {
    for (const name of add) {
      if (name === 'ALL') continue;
      if (!available.has(name))
        throw new WherryError('invalid', `the capability ${name} is not available on this host`);
      set.add(name);
    }
    for (const name of drop) set.delete(name);
  }
  const list = names.filter((name) => set.has(name)).map((name) => `CAP_${name}`);
  return { bounding: list, effective: list, permitted: list };
}

function plainName(name: string): string {
  const plain = name.toUpperCase().replace(/^CAP_/, '');
  if (plain !== 'ALL' && !names.includes(plain))
    throw new WherryError('invalid', `unknown capability ${JSON.stringify(name)}`);
  return plain;
}
