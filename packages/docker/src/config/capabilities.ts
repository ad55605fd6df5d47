import { WherryError } from '@wherry/base';

/** By their number (capabilities(7)). */
const known = new Set(
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE'.split(
    ' ',
  ),
);

/** By their names in the kernel (`NET_ADMIN`, or `ALL`), each once; throws `invalid CapAdd: unknown capability: "…"`. */
export function normaliseCapabilities(field: 'CapAdd' | 'CapDrop', names: readonly string[] | null): string[] {
  const result = (names ?? []).map((given) => {
    const upper = given.toUpperCase();
    if (upper === 'ALL') return 'ALL';
    const name = upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
    if (!known.has(name.slice(4)))
      throw new WherryError('invalid', `invalid ${field}: unknown capability: ${JSON.stringify(name)}`);
    return name.slice(4);
  });
  return [...new Set(result)];
}
