import { WherryError } from '@wherry/base';
import type { Resources } from './types.ts';

/** What this machine has, for the checks that depend on it. */
export interface HostFacts {
  readonly processors: number;
  /** Numbers of the processors and memory nodes that containers may use. */
  readonly cpus: ReadonlySet<number>;
  readonly memoryNodes: ReadonlySet<number>;
}

/** What the checks look at. */
export type CheckedResources = Pick<
  Resources,
  | 'Memory'
  | 'MemorySwap'
  | 'MemoryReservation'
  | 'MemorySwappiness'
  | 'OomKillDisable'
  | 'NanoCpus'
  | 'CpuPeriod'
  | 'CpuQuota'
  | 'CpuShares'
  | 'CpusetCpus'
  | 'CpusetMems'
  | 'BlkioWeight'
  | 'IOMaximumBandwidth'
  | 'IOMaximumIOps'
>;

const least = 6 * 1024 * 1024;

/** Checks limits in dockerd's order and with its words; gives its warnings. `update`: of a container that exists. */
export function checkResources(resources: CheckedResources, facts: HostFacts, update: boolean): string[] {
  const warnings: string[] = [];
  checkMemory(resources, update, warnings);
  checkProcessors(resources, facts);
  checkSets(resources, facts);
  const { BlkioWeight: weight } = resources;
  if (weight > 0 && (weight < 10 || weight > 1000)) refuse('Range of blkio weight is from 10 to 1000');
  if (resources.IOMaximumBandwidth !== 0 || resources.IOMaximumIOps !== 0)
    refuse(`Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps`);
  return warnings;
}

function checkMemory(resources: CheckedResources, update: boolean, warnings: string[]): void {
  const { Memory: memory, MemorySwap: swap, MemoryReservation: reservation, MemorySwappiness: swappiness } = resources;
  if (memory > 0 && memory < least) refuse('Minimum memory limit allowed is 6MB');
  if (memory > 0 && swap > 0 && swap < memory)
    refuse('Minimum memoryswap limit should be larger than memory limit, see usage');
  if (memory === 0 && swap > 0 && !update)
    refuse('You should always set the Memory limit when using Memoryswap limit, see usage');
  if (swappiness !== null && swappiness !== -1 && (swappiness < 0 || swappiness > 100))
    refuse(`Invalid value: ${swappiness}, valid memory swappiness range is 0-100`);
  if (reservation > 0 && reservation < least) refuse('Minimum memory reservation allowed is 6MB');
  if (memory > 0 && reservation > 0 && memory < reservation)
    refuse('Minimum memory limit can not be less than memory reservation limit, see usage');
  if (resources.OomKillDisable === true && memory === 0)
    warnings.push(
      'OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.',
    );
}

function checkProcessors(resources: CheckedResources, { processors }: HostFacts): void {
  const { NanoCpus: nano, CpuPeriod: period, CpuQuota: quota } = resources;
  if (resources.CpuShares < 0) refuse('shares: invalid argument');
  if (nano > 0 && period > 0) refuse('Conflicting options: Nano CPUs and CPU Period cannot both be set');
  if (nano > 0 && quota > 0) refuse('Conflicting options: Nano CPUs and CPU Quota cannot both be set');
  if (nano < 0 || nano > processors * 1e9)
    refuse(`Range of CPUs is from 0.01 to ${processors}.00, as there are only ${processors} CPUs available`);
  if (period !== 0 && (period < 1000 || period > 1_000_000))
    refuse('CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)');
  if (quota > 0 && quota < 1000) refuse('CPU cfs quota can not be less than 1ms (i.e. 1000)');
}

function checkSets(resources: CheckedResources, facts: HostFacts): void {
  const { CpusetCpus: cpus, CpusetMems: mems } = resources;
  const wanted = numberSet(cpus);
  if (wanted === undefined) refuse(`Invalid value ${cpus} for cpuset cpus: invalid format: ${cpus}`);
  if (![...wanted].every((cpu) => facts.cpus.has(cpu)))
    refuse(`Requested CPUs are not available - requested ${cpus}, available: ${rangesOf(facts.cpus)}`);
  const nodes = numberSet(mems);
  if (nodes === undefined) refuse(`Invalid value ${mems} for cpuset mems: invalid format: ${mems}`);
  if (![...nodes].every((node) => facts.memoryNodes.has(node)))
    refuse(`Requested memory nodes are not available - requested ${mems}, available: ${rangesOf(facts.memoryNodes)}`);
}

/** `0-2,5` as numbers (cpuset(7), "List format"); `undefined` for anything else. */
export function numberSet(text: string): Set<number> | undefined {
  const set = new Set<number>();
  if (text.trim() === '') return set;
  for (const part of text.trim().split(',')) {
    const range = /^([0-9]{1,4})(?:-([0-9]{1,4}))?$/.exec(part);
    if (!range) return undefined;
    const first = Number(range[1]);
    const last = Number(range[2] ?? first);
    if (last < first) return undefined;
    for (let number = first; number <= last; number++) set.add(number);
  }
  return set;
}

function rangesOf(set: ReadonlySet<number>): string {
  const ranges: [number, number][] = [];
  for (const number of [...set].sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === number - 1) last[1] = number;
    else ranges.push([number, number]);
  }
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(',');
}

function refuse(text: string): never {
  throw new WherryError('invalid', text);
}
