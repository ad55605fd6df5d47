import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { ContainerMetrics } from '@wherry/runtime';
import type { Container } from '../containers/container.ts';
import type { JsonObject } from '../containers/containers.ts';
import type { DockerContext } from '../containers/context.ts';
import { formatNano, never } from '../times.ts';

/** One reading of a container's counters. */
export interface Sample {
  readonly read: string;
  readonly metrics: ContainerMetrics;
  readonly systemNanoseconds: number;
  readonly networks: Readonly<Record<string, JsonObject>> | undefined;
  readonly hostMemoryBytes: number;
  readonly cgroupVersion: 1 | 2;
}

/** Of `USER_HZ`, which Linux has fixed at 100 for user space. */
const nanosecondsPerTick = 10_000_000;

export async function takeSample({ engine, now, host }: DockerContext, container: Container): Promise<Sample> {
  const metrics = await engine.containerMetrics(container.id);
  return {
    read: formatNano(now()),
    metrics,
    systemNanoseconds: systemTime(readFileSync('/proc/stat', 'utf8')),
    networks: container.record.host.NetworkMode === 'host' ? undefined : networkCounters(container.pid),
    hostMemoryBytes: host.memoryBytes,
    cgroupVersion: host.cgroupVersion,
  };
}

/** The first seven fields of the `cpu` line (proc(5)), in ns. */
export function systemTime(text: string): number {
  const fields = /^cpu +(.*)$/m.exec(text)?.[1]?.split(/\s+/).slice(0, 7) ?? [];
  return fields.reduce((sum, field) => sum + Number(field), 0) * nanosecondsPerTick;
}

/** The counters of the interfaces in the network namespace of a process; `undefined` when it is gone. */
function networkCounters(pid: number): Record<string, JsonObject> | undefined {
  try {
    return parseNetDev(readFileSync(`/proc/${pid}/net/dev`, 'utf8'));
  } catch {
    return undefined;
  }
}

export function parseNetDev(text: string): Record<string, JsonObject> {
  const networks: Record<string, JsonObject> = {};
  for (const line of text.split('\n').slice(2)) {
    const [name = '', rest = ''] = line.split(':', 2);
    const numbers = rest.trim().split(/\s+/).map(Number);
    if (name.trim() === '' || name.trim() === 'lo' || numbers.length < 12) continue;
    const at = (index: number): number => numbers[index] ?? 0;
    networks[name.trim()] = {
      rx_bytes: at(0),
      rx_packets: at(1),
      rx_errors: at(2),
      rx_dropped: at(3),
      tx_bytes: at(8),
      tx_packets: at(9),
      tx_errors: at(10),
      tx_dropped: at(11),
    };
  }
  return networks;
}

interface Identity {
  readonly name: string;
  readonly id: string;
}

/** `GET /containers/{id}/stats`. */
export function statsObject({ name, id }: Identity, sample: Sample, before: Sample | undefined): JsonObject {
  const { metrics } = sample;
  return {
    read: sample.read,
    preread: before?.read ?? never,
    pids_stats: {
      current: metrics.pids.current,
      ...(metrics.pids.limit === undefined ? {} : { limit: metrics.pids.limit }),
    },
    blkio_stats: blockIo(sample),
    num_procs: 0,
    storage_stats: {},
    cpu_stats: cpu(sample),
    precpu_stats: before === undefined ? emptyCpu : cpu(before),
    memory_stats: memory(sample),
    name,
    id,
    ...(sample.networks === undefined ? {} : { networks: sample.networks }),
  };
}

function cpu({ metrics, systemNanoseconds }: Sample): JsonObject {
  const { totalNanoseconds, userNanoseconds, systemNanoseconds: kernel, perCpuNanoseconds } = metrics.cpu;
  return {
    cpu_usage: {
      total_usage: Number(totalNanoseconds),
      ...(perCpuNanoseconds === undefined ? {} : { percpu_usage: perCpuNanoseconds.map(Number) }),
      usage_in_kernelmode: Number(kernel),
      usage_in_usermode: Number(userNanoseconds),
    },
    system_cpu_usage: systemNanoseconds,
    online_cpus: perCpuNanoseconds?.length ?? availableParallelism(),
    throttling_data: {
      periods: metrics.cpu.periods,
      throttled_periods: metrics.cpu.throttledPeriods,
      throttled_time: Number(metrics.cpu.throttledNanoseconds),
    },
  };
}

function memory({ metrics, hostMemoryBytes, cgroupVersion }: Sample): JsonObject {
  const { usageBytes, maxUsageBytes, limitBytes, failures, statistics } = metrics.memory;
  return {
    usage: usageBytes,
    ...(cgroupVersion === 1 ? { max_usage: maxUsageBytes } : {}),
    stats: statistics,
    ...(failures === 0 ? {} : { failcnt: failures }),
    limit: Math.min(limitBytes ?? hostMemoryBytes, hostMemoryBytes),
  };
}

function blockIo({ metrics, cgroupVersion }: Sample): JsonObject {
  const rows = (of: 'bytes' | 'operations'): JsonObject[] =>
    metrics.blockIo.map(({ major, minor, operation, [of]: value }) => ({ major, minor, op: operation, value }));
  const absent = cgroupVersion === 1 ? [] : null;
  return {
    io_service_bytes_recursive: metrics.blockIo.length === 0 ? absent : rows('bytes'),
    io_serviced_recursive: cgroupVersion === 1 ? rows('operations') : null,
    io_queue_recursive: absent,
    io_service_time_recursive: absent,
    io_wait_time_recursive: absent,
    io_merged_recursive: absent,
    io_time_recursive: absent,
    sectors_recursive: absent,
  };
}

const emptyCpu = {
  cpu_usage: { total_usage: 0, usage_in_kernelmode: 0, usage_in_usermode: 0 },
  throttling_data: { periods: 0, throttled_periods: 0, throttled_time: 0 },
} as const;

/** Of a container that does not run. */
export function emptyStats({ name, id }: Identity): JsonObject {
  const nothing = null;
  return {
    read: never,
    preread: never,
    pids_stats: {},
    blkio_stats: {
      io_service_bytes_recursive: nothing,
      io_serviced_recursive: nothing,
      io_queue_recursive: nothing,
      io_service_time_recursive: nothing,
      io_wait_time_recursive: nothing,
      io_merged_recursive: nothing,
      io_time_recursive: nothing,
      sectors_recursive: nothing,
    },
    num_procs: 0,
    storage_stats: {},
    cpu_stats: emptyCpu,
    precpu_stats: emptyCpu,
    memory_stats: {},
    name,
    id,
  };
}
