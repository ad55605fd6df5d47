import { parseQuantity, quantityMilliValue, quantityValue, type V1Container, type V1Pod } from '@wherry/api';
import type { LinuxResources } from '@wherry/runtime';

/** Quality of service classes of the API. */
export type QosClass = 'Guaranteed' | 'Burstable' | 'BestEffort';

const period = 100_000; // microseconds, the kernel's default
const leastQuota = 1000; // microseconds: what CFS accepts

/** The init containers with `restartPolicy: Always` (sidecars, KEP-753). */
export function isSidecar(container: V1Container): boolean {
  return container.restartPolicy === 'Always';
}

/** All containers of a pod: init, main and ephemeral ones. */
export function containersOf(pod: V1Pod): V1Container[] {
  const { initContainers = [], containers = [], ephemeralContainers = [] } = pod.spec ?? { containers: [] };
  return [...initContainers, ...containers, ...(ephemeralContainers as V1Container[])];
}

function amount(container: V1Container, side: 'limits' | 'requests', name: string): string | undefined {
  const own = container.resources?.[side]?.[name];
  // Upstream's defaulting: a limit without a request is the request, too.
  return own ?? (side === 'requests' ? container.resources?.limits?.[name] : undefined);
}

function milli(container: V1Container, side: 'limits' | 'requests'): number {
  const text = amount(container, side, 'cpu');
  return text === undefined ? 0 : quantityMilliValue(parseQuantity(text));
}

function bytes(container: V1Container, side: 'limits' | 'requests'): number {
  const text = amount(container, side, 'memory');
  return text === undefined ? 0 : quantityValue(parseQuantity(text));
}

/** The pod's class by requests and limits of cpu and memory of all its containers. */
export function qosClassOf(pod: V1Pod): QosClass {
  const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  let any = false;
  let guaranteed = true;
  for (const container of containers) {
    for (const [limit, request] of [
      [milli(container, 'limits'), milli(container, 'requests')],
      [bytes(container, 'limits'), bytes(container, 'requests')],
    ] as const) {
      if (limit > 0 || request > 0) any = true;
      if (limit === 0 || limit !== request) guaranteed = false;
    }
  }
  if (!any) return 'BestEffort';
  return guaranteed ? 'Guaranteed' : 'Burstable';
}

/** `cpu.shares` of milli-cores: 1024 a core, 2 … 262144. */
export function cpuShares(milliCpu: number): number {
  return Math.min(Math.max(Math.floor((milliCpu * 1024) / 1000), 2), 262_144);
}

/** CFS quota in microseconds per 100 ms. */
export function cpuQuota(milliCpu: number): number {
  return Math.max(Math.floor((milliCpu * period) / 1000), leastQuota);
}

/** The kernel's inclination to kill a container (upstream's `GetContainerOOMScoreAdjust`). `memoryCapacity` in bytes. */
export function oomScoreAdj(pod: V1Pod, container: V1Container, memoryCapacity: number): number {
  if ((pod.spec?.priority ?? 0) >= 2_000_001_000) return -997; // node-critical
  const qos = qosClassOf(pod);
  if (qos === 'Guaranteed') return -997;
  if (qos === 'BestEffort') return 1000;
  const score = 1000 - Math.floor((1000 * bytes(container, 'requests')) / Math.max(memoryCapacity, 1));
  return Math.min(Math.max(score, 3), 999);
}

/** The cgroup limits of one container. */
export function containerResources(pod: V1Pod, container: V1Container, memoryCapacity: number): LinuxResources {
  const cpuLimit = milli(container, 'limits');
  const memoryLimit = bytes(container, 'limits');
  return {
    cpuShares: cpuShares(milli(container, 'requests')),
    cpuPeriod: period,
    ...(cpuLimit > 0 ? { cpuQuota: cpuQuota(cpuLimit) } : {}),
    ...(memoryLimit > 0 ? { memoryLimitBytes: memoryLimit, memorySwapLimitBytes: memoryLimit } : {}),
    oomScoreAdj: oomScoreAdj(pod, container, memoryCapacity),
    // The kernel kills the container whole, not a process of it that the others then wait for (Kubernetes ≥ 1.28).
    unified: { 'memory.oom.group': '1' },
  };
}

interface Sums {
  readonly cpuRequest: number;
  readonly cpuLimit: number;
  readonly memoryRequest: number;
  readonly memoryLimit: number;
  readonly cpuBounded: boolean;
  readonly memoryBounded: boolean;
}

/** Milli-cores and bytes of the whole pod: sum of what runs together, or the largest init step. */
export function podSums(pod: V1Pod): Sums {
  const steps = (pick: (container: V1Container) => number): number => {
    const inits = pod.spec?.initContainers ?? [];
    let sidecars = 0;
    let peak = 0;
    for (const init of inits) {
      if (isSidecar(init)) sidecars += pick(init);
      peak = Math.max(peak, isSidecar(init) ? sidecars : sidecars + pick(init));
    }
    const together = sidecars + (pod.spec?.containers ?? []).reduce((sum, container) => sum + pick(container), 0);
    return Math.max(peak, together);
  };
  const all = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  const overheadCpu = pod.spec?.overhead?.cpu;
  const overheadMemory = pod.spec?.overhead?.memory;
  const moreCpu = overheadCpu === undefined ? 0 : quantityMilliValue(parseQuantity(overheadCpu));
  const moreMemory = overheadMemory === undefined ? 0 : quantityValue(parseQuantity(overheadMemory));
  return {
    cpuRequest: steps((container) => milli(container, 'requests')) + moreCpu,
    cpuLimit: steps((container) => milli(container, 'limits')) + moreCpu,
    memoryRequest: steps((container) => bytes(container, 'requests')) + moreMemory,
    memoryLimit: steps((container) => bytes(container, 'limits')) + moreMemory,
    cpuBounded: all.every((container) => milli(container, 'limits') > 0),
    memoryBounded: all.every((container) => bytes(container, 'limits') > 0),
  };
}

/** The limits of the pod's own cgroup (upstream's `ResourceConfigForPod`). */
export function podResources(pod: V1Pod): LinuxResources {
  const sums = podSums(pod);
  if (qosClassOf(pod) === 'BestEffort') return { cpuShares: 2 };
  return {
    cpuShares: cpuShares(sums.cpuRequest),
    cpuPeriod: period,
    ...(sums.cpuBounded ? { cpuQuota: cpuQuota(sums.cpuLimit) } : {}),
    ...(sums.memoryBounded ? { memoryLimitBytes: sums.memoryLimit } : {}),
  };
}

/** `kubepods/burstable/pod<uid>`; guaranteed pods lie directly below the root. */
export function podCgroup(cgroupRoot: string, pod: V1Pod): string {
  const qos = qosClassOf(pod);
  const middle = qos === 'Guaranteed' ? '' : `/${qos.toLowerCase()}`;
  return `${cgroupRoot}${middle}/pod${pod.metadata?.uid ?? ''}`;
}
