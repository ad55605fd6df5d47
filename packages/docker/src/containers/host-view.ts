import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism, hostname, release, totalmem } from 'node:os';
import { openCgroups } from '@wherry/linux';
import { numberSet } from '../config/resources.ts';
import type { HostView } from './options.ts';

/** Whether this kernel is of a version or newer. */
function kernelIs(major: number, minor: number): boolean {
  const [first = 0, second = 0] = release().split('.', 2).map(Number);
  return first > major || (first === major && second >= minor);
}

/** This machine. */
export function hostView(given: Partial<HostView> = {}): HostView {
  const status = (name: string): ReadonlySet<number> => {
    const text = readFileSync('/proc/self/status', 'utf8');
    return numberSet(new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(text)?.[1] ?? '') ?? new Set();
  };
  return {
    hostname: given.hostname ?? hostname(),
    cgroupVersion: given.cgroupVersion ?? openCgroups().version,
    memoryBytes: given.memoryBytes ?? totalmem(),
    resolvConf: given.resolvConf ?? (() => readFileSync('/etc/resolv.conf', 'utf8')),
    exists: given.exists ?? existsSync,
    processors: given.processors ?? availableParallelism(),
    cpus: given.cpus ?? status('Cpus_allowed_list'),
    memoryNodes: given.memoryNodes ?? status('Mems_allowed_list'),
    cgroupFeatures: given.cgroupFeatures ?? openCgroups().features('/'),
    recursiveReadOnly: given.recursiveReadOnly ?? kernelIs(5, 12),
    apparmor: given.apparmor ?? existsSync('/sys/kernel/security/apparmor'),
    selinux: given.selinux ?? existsSync('/sys/fs/selinux/enforce'),
  };
}
