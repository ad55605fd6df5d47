import { type Clock, type Logger, messageOf } from '@wherry/base';
import type { ContainerStats, RuntimeService } from '@wherry/runtime';
import { podLabels } from './pod/labels.ts';

/** A sample of the kubelet's `/stats/summary`: what upstream's metrics clients read. */
export interface StatsSummary {
  readonly node: { readonly nodeName: string; readonly cpu: CpuSample; readonly memory: MemorySample };
  readonly pods: readonly PodStats[];
}

export interface CpuSample {
  readonly time: string;
  readonly usageNanoCores?: number;
  readonly usageCoreNanoSeconds: number;
}

export interface MemorySample {
  readonly time: string;
  readonly usageBytes: number;
  readonly workingSetBytes: number;
  readonly rssBytes: number;
}

export interface PodStats {
  readonly podRef: { readonly name: string; readonly namespace: string; readonly uid: string };
  readonly containers: readonly { readonly name: string; readonly cpu: CpuSample; readonly memory: MemorySample }[];
  readonly cpu: CpuSample;
  readonly memory: MemorySample;
}

/** Takes a sample when asked; rates come from the sample before it, so that nothing runs in between. */
export class StatsReader {
  readonly #runtime: RuntimeService;
  readonly #clock: Clock;
  readonly #log: Logger;
  #before = new Map<string, ContainerStats>();

  constructor(runtime: RuntimeService, clock: Clock, log: Logger) {
    this.#runtime = runtime;
    this.#clock = clock;
    this.#log = log;
  }

  /** CPU and memory of all running containers, by pod. The node's figures are the sums of its pods. */
  async summary(nodeName: string): Promise<StatsSummary> {
    let samples: readonly ContainerStats[] = [];
    try {
      samples = await this.#runtime.listContainerStats();
    } catch (error) {
      this.#log.warn('cannot read statistics', { error: messageOf(error) });
    }
    const pods = new Map<string, { ref: PodStats['podRef']; containers: PodStats['containers'][number][] }>();
    for (const sample of samples) {
      const uid = sample.labels[podLabels.uid];
      if (uid === undefined) continue;
      const ref = {
        name: sample.labels[podLabels.name] ?? '',
        namespace: sample.labels[podLabels.namespace] ?? '',
        uid,
      };
      const pod = pods.get(uid) ?? { ref, containers: [] };
      pod.containers.push(this.#sample(sample));
      pods.set(uid, pod);
    }
    this.#before = new Map(samples.map((sample) => [sample.id, sample]));
    const list = [...pods.values()].map(({ ref, containers }) => ({
      podRef: ref,
      containers,
      ...this.#sum(containers),
    }));
    return { node: { nodeName, ...this.#sum(list) }, pods: list };
  }

  #sample(sample: ContainerStats): PodStats['containers'][number] {
    const time = new Date(sample.timestamp).toISOString();
    const before = this.#before.get(sample.id);
    const elapsed = before === undefined ? 0 : sample.timestamp - before.timestamp;
    const used = before === undefined ? 0 : Number(sample.cpuUsageNanoseconds - before.cpuUsageNanoseconds);
    return {
      name: sample.metadata.name,
      cpu: {
        time,
        ...(elapsed > 0 ? { usageNanoCores: Math.max(Math.round((used / elapsed) * 1000), 0) } : {}),
        usageCoreNanoSeconds: Number(sample.cpuUsageNanoseconds),
      },
      memory: {
        time,
        usageBytes: sample.memoryUsageBytes,
        workingSetBytes: sample.memoryWorkingSetBytes,
        rssBytes: sample.memoryRssBytes,
      },
    };
  }

  #sum(parts: readonly { readonly cpu: CpuSample; readonly memory: MemorySample }[]): {
    cpu: CpuSample;
    memory: MemorySample;
  } {
    const time = new Date(this.#clock.now()).toISOString();
    const total = (pick: (part: (typeof parts)[number]) => number): number =>
      parts.reduce((sum, part) => sum + pick(part), 0);
    return {
      cpu: {
        time,
        usageNanoCores: total(({ cpu }) => cpu.usageNanoCores ?? 0),
        usageCoreNanoSeconds: total(({ cpu }) => cpu.usageCoreNanoSeconds),
      },
      memory: {
        time,
        usageBytes: total(({ memory }) => memory.usageBytes),
        workingSetBytes: total(({ memory }) => memory.workingSetBytes),
        rssBytes: total(({ memory }) => memory.rssBytes),
      },
    };
  }
}
