import type { V1Node, V1Pod } from '@wherry/api';
import { keyOf } from '@wherry/client';
import { type Amounts, amountsOf, comparableRequests, podRequests } from './pod-requests.ts';

/** A port of the node's own address that a pod takes. */
export interface HostPort {
  readonly address: string;
  readonly protocol: string;
  readonly port: number;
}

/** What the scheduler must know of a pod, computed once per version of it. */
export interface PodFacts {
  readonly pod: V1Pod;
  readonly requests: Amounts;
  readonly comparable: { readonly cpu: number; readonly memory: number };
  readonly hostPorts: readonly HostPort[];
  readonly requiredAntiAffinity: boolean;
}

const known = new WeakMap<V1Pod, PodFacts>();

/** The facts of a pod; objects of the client are frozen, so they are kept per object. */
export function factsOf(pod: V1Pod): PodFacts {
  let facts = known.get(pod);
  if (facts === undefined) {
    const requests = podRequests(pod);
    facts = {
      pod,
      requests,
      comparable: comparableRequests(requests),
      hostPorts: hostPortsOf(pod),
      requiredAntiAffinity:
        (pod.spec?.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.length ?? 0) > 0,
    };
    known.set(pod, facts);
  }
  return facts;
}

function hostPortsOf(pod: V1Pod): HostPort[] {
  const containers = [
    ...(pod.spec?.containers ?? []),
    ...(pod.spec?.initContainers ?? []).filter((container) => container.restartPolicy === 'Always'),
  ];
  return containers.flatMap((container) =>
    (container.ports ?? []).flatMap(({ hostIP, hostPort, protocol, containerPort }) => {
      const port = hostPort || (pod.spec?.hostNetwork ? containerPort : 0);
      return port ? [{ address: hostIP || '0.0.0.0', protocol: protocol ?? 'TCP', port }] : [];
    }),
  );
}

/** A node with the pods that are on it, or are on their way to it. */
export class NodeState {
  readonly pods = new Map<string, PodFacts>();
  readonly requested = new Map<string, number>();
  readonly name: string;
  comparableCpu = 0;
  comparableMemory = 0;
  antiAffine = 0;
  #node: V1Node | undefined;
  #allocatable: Amounts = new Map();

  constructor(name: string) {
    this.name = name;
  }

  /** Undefined while only its pods are known. */
  get node(): V1Node | undefined {
    return this.#node;
  }

  set node(node: V1Node | undefined) {
    this.#node = node;
    this.#allocatable = amountsOf(node?.status?.allocatable ?? node?.status?.capacity);
  }

  get allocatable(): Amounts {
    return this.#allocatable;
  }

  add(facts: PodFacts): void {
    const key = keyOf(facts.pod);
    this.remove(key);
    this.pods.set(key, facts);
    this.#count(facts, 1);
  }

  remove(key: string): void {
    const facts = this.pods.get(key);
    if (facts === undefined) return;
    this.pods.delete(key);
    this.#count(facts, -1);
  }

  #count({ requests, comparable, requiredAntiAffinity }: PodFacts, sign: 1 | -1): void {
    for (const [name, amount] of requests) this.requested.set(name, (this.requested.get(name) ?? 0) + sign * amount);
    this.comparableCpu += sign * comparable.cpu;
    this.comparableMemory += sign * comparable.memory;
    if (requiredAntiAffinity) this.antiAffine += sign;
  }
}
