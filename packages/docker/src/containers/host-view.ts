import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism, hostname, release, totalmem } from 'node:os';
import { openCgroups } from '@wherry/linux';
import { hostPlatform, type Platform } from '@wherry/oci';
import { amd64Level } from '../config/platform-warning.ts';
import { numberSet } from '../config/resources.ts';
import type { HostView } from './options.ts';

/** Whether this kernel is of a version or newer. */
function kernelIs(major: number, minor: number): boolean {
  const [first = 0, second = 0] = release().split('.', 2).map(Number);
  return first > major || (first === major && second >= minor);
}

/** With the processor's level, which docker shows. */
function detectedPlatform(): Platform {
  const platform = hostPlatform();
  if (platform.architecture !== 'amd64') return platform;
  return { ...platform, variant: amd64Level(readFileSync('/proc/cpuinfo', 'utf8')) };
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
    platform: given.platform ?? detectedPlatform(),
    recursiveReadOnly: given.recursiveReadOnly ?? kernelIs(5, 12),
    apparmor: given.apparmor ?? existsSync('/sys/kernel/security/apparmor'),
    selinux: given.selinux ?? existsSync('/sys/fs/selinux/enforce'),
  };
}
