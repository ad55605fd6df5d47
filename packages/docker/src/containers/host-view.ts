import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism, hostname, totalmem } from 'node:os';
import { openCgroups } from '@wherry/linux';
import { numberSet } from '../config/resources.ts';
import type { HostView } from './options.ts';

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
  };
}
