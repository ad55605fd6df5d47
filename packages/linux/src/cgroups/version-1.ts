import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
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
import { blockIoVersion1, readCount, readLimit, readStatistics } from './metrics.ts';

/** Mount points by controller name (`cpu`, `memory`, …, `name=systemd`). */
export type Controllers = ReadonlyMap<string, string>;

/** Nanoseconds of a clock tick as user space sees it (USER_HZ is 100 on every architecture of ours). */
const tick = 10_000_000n;

/** Linux' cgroup version 1: a tree per controller (Documentation/admin-guide/cgroup-v1). */
export class CgroupsVersion1 implements Cgroups {
  readonly version = 1;
  readonly #controllers: Controllers;
  /** Some controllers share a mount (`cpu,cpuacct`). */
  readonly #mounts: readonly string[];
  #features: CgroupFeatures | undefined;
  #anticipated: AnticipatedMove | undefined;

  constructor(controllers: Controllers) {
    this.#controllers = controllers;
    this.#mounts = [...new Set(controllers.values())];
  }

  #file(controller: string, path: string, file: string): string {
    const mount = this.#controllers.get(controller);
    // A controller that is not mounted gives a path that does not exist.
    return join(mount ?? `/sys/fs/cgroup/${controller}`, path, file);
  }

  features(path: string): CgroupFeatures {
    const has = (file: string): boolean => existsSync(this.#file(file.split('.', 1)[0] as string, path, file));
    this.#features ??= {
      memoryLimit: has('memory.limit_in_bytes'),
      swapLimit: has('memory.memsw.limit_in_bytes'),
      memoryReservation: has('memory.soft_limit_in_bytes'),
      swappiness: has('memory.swappiness'),
      oomKillDisable: has('memory.oom_control'),
      cpuShares: has('cpu.shares'),
      cpuQuota: has('cpu.cfs_quota_us'),
      cpuRealtime: has('cpu.rt_runtime_us'),
      cpuset: has('cpuset.cpus'),
      pidsLimit: has('pids.max'),
      blockIoWeight: has('blkio.weight') || has('blkio.bfq.weight'),
      blockIoThrottle: has('blkio.throttle.read_bps_device'),
      hugepages: this.#controllers.has('hugetlb'),
    };
    return this.#features;
  }

  create(path: string): void {
    for (const mount of this.#mounts) {
      const folder = join(mount, path);
      if (mount === this.#controllers.get('cpuset')) this.#createCpuset(mount, folder);
      else mkdirSync(folder, { recursive: true });
    }
  }

  /** A cpuset takes no process until its processors and memory nodes are set: the parent's, top down. */
  #createCpuset(mount: string, folder: string): void {
    if (folder === mount || folder.length < mount.length) return;
    const parent = dirname(folder);
    this.#createCpuset(mount, parent);
    mkdirSync(folder, { recursive: true });
    for (const file of ['cpuset.cpus', 'cpuset.mems'])
      if (readControl(join(folder, file)) === '')
        writeControl(join(folder, file), readControl(join(parent, file)) ?? '');
  }

  limit(path: string, resources: ExtendedResources): void {
    const set = (controller: string, file: string, value: string | number | undefined): void => {
      if (value !== undefined) writeControl(this.#file(controller, path, file), String(value));
    };
    set('cpu', 'cpu.shares', resources.cpuShares);
    set('cpu', 'cpu.cfs_period_us', resources.cpuPeriod);
    set('cpu', 'cpu.cfs_quota_us', resources.cpuQuota);
    set('cpuset', 'cpuset.cpus', resources.cpusetCpus || undefined);
    set('cpuset', 'cpuset.mems', resources.cpusetMems || undefined);
    set('pids', 'pids.max', resources.pidsLimit === undefined ? undefined : orMax(resources.pidsLimit));
    set('cpu', 'cpu.rt_period_us', resources.cpuRealtimePeriod || undefined);
    set('cpu', 'cpu.rt_runtime_us', resources.cpuRealtimeRuntime || undefined);
    this.#limitMemory(path, resources);
    set('memory', 'memory.soft_limit_in_bytes', resources.memoryReservationBytes);
    set('memory', 'memory.swappiness', resources.memorySwappiness);
    if (resources.oomKillDisable !== undefined) set('memory', 'memory.oom_control', resources.oomKillDisable ? 1 : 0);
    this.#limitBlockIo(path, resources);
    for (const { pageSize, limit } of resources.hugepageLimits ?? [])
      set('hugetlb', `hugetlb.${pageSize}.limit_in_bytes`, limit);
  }

  #limitBlockIo(path: string, { blockIoWeight, blockIoWeightDevices, throttle }: ExtendedResources): void {
    const plain = existsSync(this.#file('blkio', path, 'blkio.weight'));
    const weight = this.#file('blkio', path, plain ? 'blkio.weight' : 'blkio.bfq.weight');
    if (blockIoWeight !== undefined && blockIoWeight > 0) writeControl(weight, String(blockIoWeight));
    for (const { path: device, value } of blockIoWeightDevices ?? [])
      writeControl(`${weight}_device`, `${deviceName(device)} ${value}`);
    const limits = {
      'blkio.throttle.read_bps_device': throttle?.readBps,
      'blkio.throttle.write_bps_device': throttle?.writeBps,
      'blkio.throttle.read_iops_device': throttle?.readIops,
      'blkio.throttle.write_iops_device': throttle?.writeIops,
    };
    for (const [file, values] of Object.entries(limits))
      for (const { path: device, value } of values ?? [])
        writeControl(this.#file('blkio', path, file), `${deviceName(device)} ${value}`);
  }

  /** The kernel wants memory ≤ memory + swap at every step: which of the two goes first depends on the direction. */
  #limitMemory(path: string, { memoryLimitBytes, memorySwapLimitBytes }: ExtendedResources): void {
    const memory = this.#file('memory', path, 'memory.limit_in_bytes');
    const both = this.#file('memory', path, 'memory.memsw.limit_in_bytes');
    const swap = existsSync(both) ? memorySwapLimitBytes : undefined;
    const grows = swap !== undefined && (swap < 0 || swap > readNumber(both));
    if (swap !== undefined && grows) writeControl(both, String(swap));
    if (memoryLimitBytes !== undefined) writeControl(memory, String(memoryLimitBytes));
    if (swap !== undefined && !grows) writeControl(both, String(swap));
  }

  attach(path: string, pid: number): void {
    for (const mount of this.#mounts) writeControl(join(mount, path, 'cgroup.procs'), String(pid));
  }

  async attachChild(path: string, pid: number): Promise<void> {
    const limited = new Set<string>();
    for (const line of (readControl('/proc/self/cgroup') ?? '').split('\n')) {
      const [, names = '', group = '/'] = line.split(':', 3);
      if (group !== '/') for (const name of names.split(',')) limited.add(this.#controllers.get(name) ?? '');
    }
    const [first, ...others] = this.#mounts;
    for (const mount of [first, ...others.filter((each) => limited.has(each))])
      if (mount !== undefined) await writeControlApart(join(mount, path, 'cgroup.procs'), String(pid));
  }

  anticipateMoves(): void {
    this.#anticipated ??= new AnticipatedMove(this.#ownGroup());
    void this.#anticipated.begin();
  }

  #ownGroup(): string {
    for (const line of (readControl('/proc/self/cgroup') ?? '').split('\n')) {
      const [, names = '', group = '/'] = line.split(':', 3);
      const mount = this.#controllers.get(names.split(',')[0] as string);
      if (mount !== undefined) return join(mount, group, 'cgroup.procs');
    }
    return '';
  }

  processes(path: string): number[] {
    return [...new Set(this.#mounts.flatMap((mount) => processesBelow(join(mount, path))))];
  }

  kill(path: string): number {
    return killEach(() => this.processes(path));
  }

  freeze(path: string, frozen: boolean): void {
    writeControl(this.#file('freezer', path, 'freezer.state'), frozen ? 'FROZEN' : 'THAWED');
  }

  isFrozen(path: string): boolean {
    return readNumber(this.#file('freezer', path, 'freezer.self_freezing')) === 1;
  }

  isStill(path: string): boolean {
    return readControl(this.#file('freezer', path, 'freezer.state')) === 'FROZEN';
  }

  remove(path: string): boolean {
    return this.#mounts.map((mount) => removeGroups(join(mount, path))).every((gone) => gone);
  }

  exists(path: string): boolean {
    return this.#mounts.some((mount) => existsSync(join(mount, path)));
  }

  stats(path: string): CgroupStats {
    const usage = readNumber(this.#file('memory', path, 'memory.usage_in_bytes'));
    const statistics = this.#file('memory', path, 'memory.stat');
    return {
      cpuUsageNanoseconds: BigInt(readControl(this.#file('cpuacct', path, 'cpuacct.usage')) ?? 0),
      memoryUsageBytes: usage,
      memoryWorkingSetBytes: Math.max(0, usage - Number(readField(statistics, 'total_inactive_file') ?? 0)),
      memoryRssBytes: Number(readField(statistics, 'total_rss') ?? 0),
      pids: readNumber(this.#file('pids', path, 'pids.current')),
    };
  }

  metrics(path: string): Omit<ContainerMetrics, 'readAt'> {
    const at = (file: string): string => this.#file(file.split('.', 1)[0] as string, path, file);
    const times = readStatistics(at('cpuacct.stat'));
    const cpu = readStatistics(at('cpu.stat'));
    const bytes = at('blkio.throttle.io_service_bytes_recursive');
    return {
      cpu: {
        totalNanoseconds: readCount(at('cpuacct.usage')),
        userNanoseconds: BigInt(times.user ?? 0) * tick,
        systemNanoseconds: BigInt(times.system ?? 0) * tick,
        perCpuNanoseconds: (readControl(at('cpuacct.usage_percpu')) ?? '').split(' ').filter(Boolean).map(BigInt),
        periods: cpu.nr_periods ?? 0,
        throttledPeriods: cpu.nr_throttled ?? 0,
        throttledNanoseconds: BigInt(cpu.throttled_time ?? 0),
      },
      memory: {
        usageBytes: readNumber(at('memory.usage_in_bytes')),
        maxUsageBytes: readNumber(at('memory.max_usage_in_bytes')),
        limitBytes: readLimit(at('memory.limit_in_bytes')),
        failures: readNumber(at('memory.failcnt')),
        statistics: readStatistics(at('memory.stat')),
      },
      blockIo: existsSync(bytes)
        ? blockIoVersion1(bytes, at('blkio.throttle.io_serviced_recursive'))
        : blockIoVersion1(at('blkio.throttle.io_service_bytes'), at('blkio.throttle.io_serviced')),
      pids: { current: readNumber(at('pids.current')), limit: readLimit(at('pids.max')) },
    };
  }

  oomKills(path: string): number {
    return Number(readField(this.#file('memory', path, 'memory.oom_control'), 'oom_kill') ?? 0);
  }
}

const orMax = (limit: number): string => (limit <= 0 ? 'max' : String(limit));
