import { parseQuantity, quantityMilliValue, quantityValue, type V1Node, type V1Pod } from '@wherry/api';
import { podSums } from '../pod/resources.ts';

/** Why a pod that was bound to this node cannot run on it. */
export interface Refusal {
  readonly reason: string;
  readonly message: string;
}

/**
 * Checks a pod that is new on the node against its labels and what the pods that are already here
 * have asked for, in upstream's words (`OutOfcpu`, `OutOfmemory`, `OutOfpods`, `NodeAffinity`, `NodePorts`).
 */
export function admitPod(
  pod: V1Pod,
  node: V1Node | undefined,
  allocatable: Readonly<Record<string, string>>,
  others: readonly V1Pod[],
): Refusal | undefined {
  return misplaced(pod, node) ?? portTaken(pod, others) ?? tooLarge(pod, allocatable, others);
}

function misplaced(pod: V1Pod, node: V1Node | undefined): Refusal | undefined {
  if (node === undefined) return undefined;
  const labels = node.metadata?.labels ?? {};
  for (const [key, value] of Object.entries(pod.spec?.nodeSelector ?? {}))
    if (labels[key] !== value) return { reason: 'NodeAffinity', message: 'Predicate NodeAffinity failed' };
  return undefined;
}

function portTaken(pod: V1Pod, others: readonly V1Pod[]): Refusal | undefined {
  const wanted = hostPorts(pod);
  const taken = new Set(others.flatMap(hostPorts));
  return wanted.some((port) => taken.has(port))
    ? { reason: 'NodePorts', message: 'Predicate NodePorts failed' }
    : undefined;
}

function hostPorts(pod: V1Pod): string[] {
  return (pod.spec?.containers ?? [])
    .flatMap(({ ports }) => ports ?? [])
    .filter(({ hostPort }) => hostPort !== undefined && hostPort > 0)
    .map(({ hostPort, protocol, hostIP }) => `${protocol ?? 'TCP'}/${hostIP || '0.0.0.0'}/${hostPort}`);
}

function tooLarge(
  pod: V1Pod,
  allocatable: Readonly<Record<string, string>>,
  others: readonly V1Pod[],
): Refusal | undefined {
  const podLimit = quantityValue(parseQuantity(allocatable.pods ?? '110'));
  if (others.length + 1 > podLimit) return outOf('pods', 1, others.length, podLimit);
  const own = podSums(pod);
  const sums = others.map(podSums);
  const cpu = quantityMilliValue(parseQuantity(allocatable.cpu ?? '0'));
  const usedCpu = sums.reduce((sum, { cpuRequest }) => sum + cpuRequest, 0);
  if (own.cpuRequest > 0 && usedCpu + own.cpuRequest > cpu) return outOf('cpu', own.cpuRequest, usedCpu, cpu);
  const memory = quantityValue(parseQuantity(allocatable.memory ?? '0'));
  const usedMemory = sums.reduce((sum, { memoryRequest }) => sum + memoryRequest, 0);
  if (own.memoryRequest > 0 && usedMemory + own.memoryRequest > memory)
    return outOf('memory', own.memoryRequest, usedMemory, memory);
  return undefined;
}

function outOf(resource: string, requested: number, used: number, capacity: number): Refusal {
  return {
    reason: `OutOf${resource}`,
    message: `Node didn't have enough resource: ${resource}, requested: ${requested}, used: ${used}, capacity: ${capacity}`,
  };
}
