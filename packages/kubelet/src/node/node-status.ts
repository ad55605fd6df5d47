import { timeText, type V1ContainerImage, type V1Node, type V1NodeCondition, type V1NodeStatus } from '@wherry/api';
import type { ImageStatus } from '@wherry/runtime';
import type { MachineFacts } from './machine-facts.ts';

export interface NodeStatusInput {
  readonly nodeName: string;
  readonly nodeIps: readonly string[];
  readonly facts: MachineFacts;
  readonly maxPods: number;
  readonly kubeletVersion: string;
  /** `wherry://0.1.0`. */
  readonly runtimeVersion: string;
  readonly kubeletPort: number;
  readonly images: readonly ImageStatus[];
  /** What keeps the node from being ready, if anything. */
  readonly problem: string | undefined;
  readonly now: number;
  readonly old: V1NodeStatus | undefined;
}

const reservedMemory = 100 * 1024 * 1024; // upstream's hard eviction threshold memory.available
const reservedStorage = 0.1; // nodefs.available
const mostImages = 50;

/** Capacity of a machine as the API has it. */
export function capacityOf(facts: MachineFacts, maxPods: number): Record<string, string> {
  return {
    cpu: String(facts.cpus),
    'ephemeral-storage': `${Math.floor(facts.storageBytes / 1024)}Ki`,
    'hugepages-1Gi': '0',
    'hugepages-2Mi': '0',
    memory: `${Math.floor(facts.memoryBytes / 1024)}Ki`,
    pods: String(maxPods),
  };
}

/** What pods may use: capacity less upstream's default eviction thresholds. */
export function allocatableOf(facts: MachineFacts, maxPods: number): Record<string, string> {
  return {
    ...capacityOf(facts, maxPods),
    'ephemeral-storage': String(Math.floor(facts.storageBytes * (1 - reservedStorage))),
    memory: `${Math.max(Math.floor((facts.memoryBytes - reservedMemory) / 1024), 0)}Ki`,
  };
}

/** The labels that a node gives itself. */
export function nodeLabels(nodeName: string, facts: MachineFacts): Record<string, string> {
  return {
    'beta.kubernetes.io/arch': facts.architecture,
    'beta.kubernetes.io/os': 'linux',
    'kubernetes.io/arch': facts.architecture,
    'kubernetes.io/hostname': nodeName,
    'kubernetes.io/os': 'linux',
  };
}

/** The whole status of a node. Pure. Conditions of others are kept. */
export function nodeStatusOf(input: NodeStatusInput): V1NodeStatus {
  const { facts, nodeName, nodeIps, maxPods, old } = input;
  const conditions = [
    pressure(input, 'MemoryPressure', 'KubeletHasSufficientMemory', 'kubelet has sufficient memory available'),
    pressure(input, 'DiskPressure', 'KubeletHasNoDiskPressure', 'kubelet has no disk pressure'),
    pressure(input, 'PIDPressure', 'KubeletHasSufficientPID', 'kubelet has sufficient PID available'),
    input.problem === undefined
      ? condition(input, 'Ready', 'True', 'KubeletReady', 'kubelet is posting ready status')
      : condition(input, 'Ready', 'False', 'KubeletNotReady', input.problem),
  ];
  const others = (old?.conditions ?? []).filter(({ type }) => !conditions.some((own) => own.type === type));
  return {
    ...old,
    addresses: [
      ...nodeIps.map((address) => ({ address, type: 'InternalIP' })),
      { address: nodeName, type: 'Hostname' },
    ],
    allocatable: allocatableOf(facts, maxPods),
    capacity: capacityOf(facts, maxPods),
    conditions: [...others, ...conditions],
    daemonEndpoints: { kubeletEndpoint: { Port: input.kubeletPort } },
    images: imagesOf(input.images),
    nodeInfo: {
      architecture: facts.architecture,
      bootID: facts.bootId,
      containerRuntimeVersion: input.runtimeVersion,
      kernelVersion: facts.kernelVersion,
      kubeProxyVersion: '',
      kubeletVersion: input.kubeletVersion,
      machineID: facts.machineId,
      operatingSystem: 'linux',
      osImage: facts.osImage,
      systemUUID: facts.systemUuid,
    },
  };
}

function imagesOf(images: readonly ImageStatus[]): V1ContainerImage[] {
  return [...images]
    .sort((a, b) => b.sizeBytes - a.sizeBytes)
    .slice(0, mostImages)
    .map(({ repoTags, repoDigests, sizeBytes }) => ({ names: [...repoDigests, ...repoTags], sizeBytes }));
}

function pressure(input: NodeStatusInput, type: string, reason: string, message: string): V1NodeCondition {
  return condition(input, type, 'False', reason, message);
}

function condition(
  { now, old }: NodeStatusInput,
  type: string,
  status: string,
  reason: string,
  message: string,
): V1NodeCondition {
  const before = old?.conditions?.find((one) => one.type === type);
  const same = before?.status === status && before.lastTransitionTime;
  return {
    lastHeartbeatTime: timeText(now),
    lastTransitionTime: same ? before.lastTransitionTime : timeText(now),
    message,
    reason,
    status,
    type,
  };
}

/** The object under which a node registers. */
export function newNode(nodeName: string, facts: MachineFacts, status: V1NodeStatus): V1Node {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: nodeName,
      labels: nodeLabels(nodeName, facts),
      annotations: { 'volumes.kubernetes.io/controller-managed-attach-detach': 'true' },
    },
    spec: {},
    status,
  };
}
