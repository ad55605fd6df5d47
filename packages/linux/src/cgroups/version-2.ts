import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf, WherryError } from '@wherry/base';
import type { ContainerMetrics, ExtendedResources } from '@wherry/runtime';
import { AnticipatedMove } from './anticipated-move.ts';
import { deviceName } from './block-devices.ts';
import type { CgroupFeatures, CgroupStats, Cgroups } from './contract.ts';
import {
  killEach,
  processesBelow,
  readControl,
  readField,
  readNumber,
  removeGroups,
  writeControl,
  writeControlApart,
} from './files.ts';
import { blockIoVersion2, readLimit, readStatistics } from './metrics.ts';

/**
 * Memory first: it is refused to a group with processes, while the threaded controllers (cpu, pids) would turn such a
 * group into a threaded domain, whose processes could not be moved down any more.
 */
const controllers = ['memory', 'cpu', 'pids', 'cpuset', 'io', 'hugetlb'];

/** Linux' cgroup version 2: one tree (Documentation/admin-guide/cgroup-v2.rst). */
export class CgroupsVersion2 implements Cgroups {
  readonly version = 2;
  readonly #root: string;
  #features: CgroupFeatures | undefined;
  #anticipated: AnticipatedMove | undefined;

  constructor(root: string) {
    this.#root = root;
  }

  #file(path: string, file: string): string {
    return join(this.#root, path, file);
  }

  features(path: string): CgroupFeatures {
    const has = (file: string): boolean => existsSync(this.#file(path, file));
    this.#features ??= {
      memoryLimit: has('memory.max'),
      swapLimit: has('memory.swap.max'),
      memoryReservation: has('memory.low'),
      swappiness: false,
      oomKillDisable: false,
      cpuShares: has('cpu.weight'),
      cpuQuota: has('cpu.max'),
      cpuRealtime: false,
      cpuset: has('cpuset.cpus'),
      pidsLimit: has('pids.max'),
      blockIoWeight: has('io.weight') || has('io.bfq.weight'),
      blockIoThrottle: has('io.max'),
      hugepages: (readControl(this.#file(path, 'cgroup.controllers')) ?? '').split(' ').includes('hugetlb'),
    };
    return this.#features;
  }

  create(path: string): void {
    let folder = this.#root;
    for (const part of path.split('/').filter((name) => name !== '')) {
      this.#enableControllers(folder);
      folder = join(folder, part);
      if (!existsSync(folder)) mkdirSync(folder);
    }
  }

  /** Hands the controllers of a group to its children; only a group without processes may (except the root). */
  #enableControllers(folder: string): void {
    const available = new Set(readControl(join(folder, 'cgroup.controllers'))?.split(' ') ?? []);
    const enabled = new Set(readControl(join(folder, 'cgroup.subtree_control'))?.split(' ') ?? []);
    for (const name of controllers) {
      if (!available.has(name) || enabled.has(name)) continue;
      try {
        this.#enable(folder, name);
      } catch (error) {
        // cpuset and io are comforts; without these three no limit would hold.
        if (['cpu', 'memory', 'pids'].includes(name) && codeOf(error) !== 'notFound')
          throw new WherryError(
            'conflict',
            `cannot hand the controller ${name} to the groups below ${folder}: it holds processes of its own`,
            { cause: error },
          );
      }
    }
  }

  /**
   * In a cgroup namespace (a container, a CI job) the top of the tree is no root for the kernel: it cannot hold
   * processes and hand down controllers. There its processes move one group down, as into docker's `init`.
   */
  #enable(folder: string, name: string): void {
    const file = join(folder, 'cgroup.subtree_control');
    try {
      writeControl(file, `+${name}`);
    } catch (error) {
      if (codeOf(error) !== 'conflict' || folder !== this.#root) throw error;
      this.#moveDown(join(folder, 'init'));
      writeControl(file, `+${name}`);
    }
  }

  #moveDown(group: string): void {
    if (!existsSync(group)) mkdirSync(group);
    const procs = (folder: string): string[] =>
      (readControl(join(folder, 'cgroup.procs')) ?? '').split('\n').filter((pid) => pid !== '' && pid !== '0');
    const seen = new Set<string>();
    // Again for those that were born meanwhile.
    for (let fresh = procs(this.#root); fresh.length > 0; fresh = procs(this.#root).filter((pid) => !seen.has(pid)))
      for (const pid of fresh) {
        seen.add(pid);
        try {
          writeControl(join(group, 'cgroup.procs'), pid);
        } catch (error) {
          // It ended meanwhile. What cannot be moved makes the next attempt to hand down fail, with its reason.
          if (!(error instanceof WherryError)) throw error;
        }
      }
  }

  limit(path: string, resources: ExtendedResources): void {
    const set = (file: string, value: string | number | undefined): void => {
      if (value !== undefined) writeControl(this.#file(path, file), String(value));
    };
    if (resources.cpuShares !== undefined && resources.cpuShares > 0)
      set('cpu.weight', weightOfShares(resources.cpuShares));
    if (resources.cpuQuota !== undefined || resources.cpuPeriod !== undefined) {
      const [quota, period] = (readControl(this.#file(path, 'cpu.max')) ?? 'max 100000').split(' ');
      const wanted = resources.cpuQuota === undefined ? quota : resources.cpuQuota > 0 ? resources.cpuQuota : 'max';
      set('cpu.max', `${wanted} ${resources.cpuPeriod ?? period}`);
    }
    set('cpuset.cpus', resources.cpusetCpus || undefined);
    set('cpuset.mems', resources.cpusetMems || undefined);
    if (resources.pidsLimit !== undefined) set('pids.max', orMax(resources.pidsLimit));
    if (resources.memoryLimitBytes !== undefined) set('memory.max', orMax(resources.memoryLimitBytes));
    const swap = swapOf(resources);
    if (swap !== undefined && existsSync(this.#file(path, 'memory.swap.max'))) set('memory.swap.max', swap);
    if (resources.memoryReservationBytes !== undefined)
      set('memory.low', Math.max(0, resources.memoryReservationBytes));
    for (const { pageSize, limit } of resources.hugepageLimits ?? []) set(`hugetlb.${pageSize}.max`, limit);
    this.#limitBlockIo(path, resources);
    for (const [key, value] of Object.entries(resources.unified ?? {})) {
      if (!/^[a-z0-9_]+(\.[a-zA-Z0-9_]+)+$/.test(key))
        throw new WherryError('invalid', `${JSON.stringify(key)} is not a cgroup setting`);
      set(key, value);
    }
  }

  /** Realtime shares, swappiness and a disabled OOM killer are version 1's alone. */
  #limitBlockIo(path: string, { blockIoWeight, blockIoWeightDevices, throttle }: ExtendedResources): void {
    const bfq = existsSync(this.#file(path, 'io.bfq.weight'));
    const weight = this.#file(path, bfq ? 'io.bfq.weight' : 'io.weight');
    const scaled = (value: number): number => (bfq ? value : ioWeightOf(value));
    if (blockIoWeight !== undefined && blockIoWeight > 0) writeControl(weight, `default ${scaled(blockIoWeight)}`);
    for (const { path: device, value } of blockIoWeightDevices ?? [])
      writeControl(weight, `${deviceName(device)} ${scaled(value)}`);
    const limits = {
      rbps: throttle?.readBps,
      wbps: throttle?.writeBps,
      riops: throttle?.readIops,
      wiops: throttle?.writeIops,
    };
    for (const [key, values] of Object.entries(limits))
      for (const { path: device, value } of values ?? [])
        writeControl(this.#file(path, 'io.max'), `${deviceName(device)} ${key}=${value > 0 ? value : 'max'}`);
  }

  attach(path: string, pid: number): void {
    writeControl(this.#file(path, 'cgroup.procs'), String(pid));
  }

  async attachChild(path: string, pid: number): Promise<void> {
    await writeControlApart(this.#file(path, 'cgroup.procs'), String(pid));
  }

  anticipateMoves(): void {
    this.#anticipated ??= new AnticipatedMove(this.#file(ownGroup(), 'cgroup.procs'));
    void this.#anticipated.begin();
  }

  processes(path: string): number[] {
    return processesBelow(join(this.#root, path));
  }

  kill(path: string): number {
    const count = this.processes(path).length;
    const file = this.#file(path, 'cgroup.kill'); // Linux ≥ 5.14
    if (existsSync(file)) writeControl(file, '1');
    else return killEach(() => this.processes(path));
    return count;
  }

  freeze(path: string, frozen: boolean): void {
    writeControl(this.#file(path, 'cgroup.freeze'), frozen ? '1' : '0');
  }

  isFrozen(path: string): boolean {
    return readNumber(this.#file(path, 'cgroup.freeze')) === 1;
  }

  isStill(path: string): boolean {
    return readField(this.#file(path, 'cgroup.events'), 'frozen') === '1';
  }

  remove(path: string): boolean {
    return removeGroups(join(this.#root, path));
  }

  exists(path: string): boolean {
    return existsSync(join(this.#root, path));
  }

  stats(path: string): CgroupStats {
    const usage = readNumber(this.#file(path, 'memory.current'));
    const statistics = this.#file(path, 'memory.stat');
    return {
      cpuUsageNanoseconds: BigInt(readField(this.#file(path, 'cpu.stat'), 'usage_usec') ?? 0) * 1000n,
      memoryUsageBytes: usage,
      memoryWorkingSetBytes: Math.max(0, usage - Number(readField(statistics, 'inactive_file') ?? 0)),
      memoryRssBytes: Number(readField(statistics, 'anon') ?? 0),
      pids: readNumber(this.#file(path, 'pids.current')),
    };
  }

  metrics(path: string): Omit<ContainerMetrics, 'readAt'> {
    const at = (file: string): string => this.#file(path, file);
    const cpu = readStatistics(at('cpu.stat'));
    const nanoseconds = (key: string): bigint => BigInt(cpu[key] ?? 0) * 1000n;
    return {
      cpu: {
        totalNanoseconds: nanoseconds('usage_usec'),
        userNanoseconds: nanoseconds('user_usec'),
        systemNanoseconds: nanoseconds('system_usec'),
        perCpuNanoseconds: undefined,
        periods: cpu.nr_periods ?? 0,
        throttledPeriods: cpu.nr_throttled ?? 0,
        throttledNanoseconds: nanoseconds('throttled_usec'),
      },
      memory: {
        usageBytes: readNumber(at('memory.current')),
        maxUsageBytes: readNumber(at('memory.peak')),
        limitBytes: readLimit(at('memory.max')),
        failures: readStatistics(at('memory.events')).max ?? 0,
        statistics: readStatistics(at('memory.stat')),
      },
      blockIo: blockIoVersion2(at('io.stat')),
      pids: { current: readNumber(at('pids.current')), limit: readLimit(at('pids.max')) },
    };
  }

  oomKills(path: string): number {
    return Number(readField(this.#file(path, 'memory.events'), 'oom_kill') ?? 0);
  }
}

/** Shares (2 … 262144) as a weight (1 … 10000), as the OCI runtimes map them (KEP-2254). */
export function weightOfShares(shares: number): number {
  const bounded = Math.min(Math.max(shares, 2), 262144);
  return 1 + Math.floor(((bounded - 2) * 9999) / 262142);
}

/** Version 1's weight (10 … 1000) as one of `io.weight` (1 … 10000), as the OCI runtimes map it. */
export function ioWeightOf(weight: number): number {
  return 1 + Math.floor(((Math.min(Math.max(weight, 10), 1000) - 10) * 9999) / 990);
}

/** Version 1 counts memory and swap together, version 2 swap alone. */
function swapOf({ memoryLimitBytes, memorySwapLimitBytes }: ExtendedResources): string | undefined {
  if (memorySwapLimitBytes === undefined) return undefined;
  if (memorySwapLimitBytes < 0) return 'max';
  if (memoryLimitBytes === undefined || memoryLimitBytes < 0) return undefined;
  return String(Math.max(0, memorySwapLimitBytes - memoryLimitBytes));
}

const orMax = (limit: number): string => (limit <= 0 ? 'max' : String(limit));

const ownGroup = (): string => /^0::(.*)$/m.exec(readControl('/proc/self/cgroup') ?? '')?.[1] ?? '/';
