import { WherryError } from '@wherry/base';
import type { CgroupFeatures } from '@wherry/linux';
import type { Resources } from './types.ts';

/** What this machine has, for the checks that depend on it. */
export interface HostFacts {
  readonly processors: number;
  /** Numbers of the processors and memory nodes that containers may use. */
  readonly cpus: ReadonlySet<number>;
  readonly memoryNodes: ReadonlySet<number>;
  /** Limits that the kernel can set; others are discarded with a warning. */
  readonly cgroupFeatures: CgroupFeatures;
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
  | 'PidsLimit'
  | 'CpuPercent'
  | 'BlkioWeightDevice'
  | 'BlkioDeviceReadBps'
  | 'BlkioDeviceWriteBps'
  | 'BlkioDeviceReadIOps'
  | 'BlkioDeviceWriteIOps'
>;

const least = 6 * 1024 * 1024;

/** Checks limits in dockerd's order and with its words; gives its warnings. `update`: of a container that exists. */
export function checkResources(resources: CheckedResources, facts: HostFacts, update: boolean): string[] {
  const warnings: string[] = [];
  const warn = (text: string): void => void warnings.push(text);
  if (resources.MemorySwappiness === -1) resources.MemorySwappiness = null;
  checkMemory(resources, update, facts.cgroupFeatures, warn);
  checkProcessors(resources, facts, warn);
  checkSets(resources, facts, warn);
  checkQuality(resources, update);
  checkBlockIo(resources, facts.cgroupFeatures, warn);
  return warnings;
}

type Warn = (text: string) => void;

const unsupported = (what: string): string => `Your kernel does not support ${what} or the cgroup is not mounted.`;

function checkMemory(resources: CheckedResources, update: boolean, features: CgroupFeatures, warn: Warn): void {
  if (resources.Memory !== 0 && resources.Memory < least) refuse('Minimum memory limit allowed is 6MB');
  if (resources.Memory > 0 && !features.memoryLimit) {
    warn(`${unsupported('memory limit capabilities')} Limitation discarded.`);
    resources.Memory = 0;
    resources.MemorySwap = -1;
  }
  if (resources.Memory > 0 && resources.MemorySwap !== -1 && !features.swapLimit) {
    warn(`${unsupported('swap limit capabilities')} Memory limited without swap.`);
    resources.MemorySwap = -1;
  }
  if (resources.MemorySwappiness !== null && !features.swappiness) {
    warn(`${unsupported('memory swappiness capabilities')} Memory swappiness discarded.`);
    resources.MemorySwappiness = null;
  }
  if (resources.MemoryReservation > 0 && !features.memoryReservation) {
    warn(`${unsupported('memory soft limit capabilities')} Limitation discarded.`);
    resources.MemoryReservation = 0;
  }
  checkAmounts(resources, update);
  if (resources.OomKillDisable === true && !features.oomKillDisable) {
    warn('Your kernel does not support OomKillDisable. OomKillDisable discarded.');
    resources.OomKillDisable = null;
  }
  if (resources.OomKillDisable === true && resources.Memory === 0)
    warn(
      'OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.',
    );
  if (resources.PidsLimit !== null && !features.pidsLimit) {
    if (resources.PidsLimit > 0) warn(`${unsupported('PIDs limit capabilities')} PIDs limit discarded.`);
    resources.PidsLimit = null;
  }
}

function checkAmounts(resources: CheckedResources, update: boolean): void {
  const { Memory: memory, MemorySwap: swap, MemoryReservation: reservation, MemorySwappiness: swappiness } = resources;
  if (memory > 0 && swap > 0 && swap < memory)
    refuse('Minimum memoryswap limit should be larger than memory limit, see usage');
  if (memory === 0 && swap > 0 && !update)
    refuse('You should always set the Memory limit when using Memoryswap limit, see usage');
  if (swappiness !== null && (swappiness < 0 || swappiness > 100))
    refuse(`Invalid value: ${swappiness}, valid memory swappiness range is 0-100`);
  if (reservation > 0 && reservation < least) refuse('Minimum memory reservation allowed is 6MB');
  if (memory > 0 && reservation > 0 && memory < reservation)
    refuse('Minimum memory limit can not be less than memory reservation limit, see usage');
}

function checkProcessors(resources: CheckedResources, { processors, cgroupFeatures }: HostFacts, warn: Warn): void {
  const { NanoCpus: nano, CpuPeriod: period, CpuQuota: quota } = resources;
  if (nano > 0 && period > 0) refuse('Conflicting options: Nano CPUs and CPU Period cannot both be set');
  if (nano > 0 && quota > 0) refuse('Conflicting options: Nano CPUs and CPU Quota cannot both be set');
  if (nano > 0 && !cgroupFeatures.cpuQuota)
    refuse('NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted');
  if (nano < 0 || nano > processors * 1e9)
    refuse(`Range of CPUs is from 0.01 to ${processors}.00, as there are only ${processors} CPUs available`);
  if (resources.CpuShares > 0 && !cgroupFeatures.cpuShares) {
    warn(`${unsupported('CPU shares')} Shares discarded.`);
    resources.CpuShares = 0;
  }
  if ((period !== 0 || quota !== 0) && !cgroupFeatures.cpuQuota) {
    warn('Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.');
    resources.CpuPeriod = 0;
    resources.CpuQuota = 0;
    return;
  }
  if (period !== 0 && (period < 1000 || period > 1_000_000))
    refuse('CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)');
  if (quota > 0 && quota < 1000) refuse('CPU cfs quota can not be less than 1ms (i.e. 1000)');
  if (resources.CpuPercent > 0) {
    warn('linux does not support CPU percent. Percent discarded.');
    resources.CpuPercent = 0;
  }
}

function checkSets(resources: CheckedResources, facts: HostFacts, warn: Warn): void {
  if ((resources.CpusetCpus !== '' || resources.CpusetMems !== '') && !facts.cgroupFeatures.cpuset) {
    warn(`${unsupported('cpuset')} Cpuset discarded.`);
    resources.CpusetCpus = '';
    resources.CpusetMems = '';
  }
  const { CpusetCpus: cpus, CpusetMems: mems } = resources;
  const wanted = checkedSet('cpus', cpus);
  if (![...wanted].every((cpu) => facts.cpus.has(cpu)))
    refuse(`Requested CPUs are not available - requested ${cpus}, available: ${rangesOf(facts.cpus)}`);
  const nodes = checkedSet('mems', mems);
  if (![...nodes].every((node) => facts.memoryNodes.has(node)))
    refuse(`Requested memory nodes are not available - requested ${mems}, available: ${rangesOf(facts.memoryNodes)}`);
}

/** Numbers that the kernel has bits for, as dockerd counts them. */
const mostNumbers = 8192;

function checkedSet(kind: 'cpus' | 'mems', text: string): ReadonlySet<number> {
  const set = numberSet(text);
  if (set !== undefined) return set;
  const tooLarge = (text.match(/[0-9]+/g) ?? []).some((number) => Number(number) > mostNumbers);
  const why = tooLarge ? `value of out range, maximum is ${mostNumbers}` : `invalid format: ${text}`;
  return refuse(`Invalid value ${text} for cpuset ${kind}: ${why}`);
}

/** Of Windows. */
function checkQuality(
  { IOMaximumBandwidth: bandwidth, IOMaximumIOps: operations }: CheckedResources,
  update: boolean,
): void {
  if (bandwidth === 0 && operations === 0) return;
  const whose = 'Invalid QoS settings: linux does not support';
  if (update) refuse(`${whose} Maximum IO Bandwidth or Maximum IO IOps`);
  throw new WherryError('internal', `${whose} configuration of maximum ${bandwidth === 0 ? 'IOPs' : 'bandwidth'}`);
}

function checkBlockIo(resources: CheckedResources, features: CgroupFeatures, warn: Warn): void {
  if (resources.BlkioWeight > 0 && !features.blockIoWeight) {
    warn(`${unsupported('Block I/O weight')} Weight discarded.`);
    resources.BlkioWeight = 0;
  }
  const { BlkioWeight: weight } = resources;
  if (weight > 0 && (weight < 10 || weight > 1000)) refuse('Range of blkio weight is from 10 to 1000');
  if ((resources.BlkioWeightDevice ?? []).length > 0 && !features.blockIoWeight) {
    warn(`${unsupported('Block I/O weight_device')} Weight-device discarded.`);
    resources.BlkioWeightDevice = [];
  }
  for (const [name, limit, short] of [
    ['BlkioDeviceReadBps', 'BPS Block I/O read limit', 'Block I/O BPS read limit'],
    ['BlkioDeviceWriteBps', 'BPS Block I/O write limit', 'Block I/O BPS write limit'],
    ['BlkioDeviceReadIOps', 'IOPS Block read limit', 'Block I/O IOPS read limit'],
    ['BlkioDeviceWriteIOps', 'IOPS Block write limit', 'Block I/O IOPS write limit'],
  ] as const) {
    if ((resources[name] ?? []).length === 0 || features.blockIoThrottle) continue;
    warn(`${unsupported(limit)} ${short} discarded.`);
    resources[name] = [];
  }
}

/** `0-2,5` as numbers (cpuset(7), "List format"); `undefined` for anything else. */
export function numberSet(text: string): Set<number> | undefined {
  const set = new Set<number>();
  if (text === '') return set;
  for (const part of text.split(',')) {
    const range = /^([0-9]{1,4})(?:-([0-9]{1,4}))?$/.exec(part);
    if (!range) return undefined;
    const first = Number(range[1]);
    const last = Number(range[2] ?? first);
    if (last < first || last > mostNumbers) return undefined;
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
