import {
  timeText,
  type V1Namespace,
  type V1Node,
  type V1PersistentVolumeClaim,
  type V1Pod,
  type V1PodCondition,
  type V1PodDisruptionBudget,
} from '@wherry/api';
import { type Clock, codeOf, type Logger, messageOf } from '@wherry/base';
import {
  type ApiClient,
  createEventRecorder,
  type EventRecorder,
  equalJson,
  type Informer,
  type InformerFactory,
  keyOf,
  resources,
  runLeaderElection,
  sharedIndexes,
} from '@wherry/client';
import { ClusterState, isFinished } from './cluster-state.ts';
import { PendingPods } from './pending-pods.ts';
import { type Placement, plan, preemptionMessage, refusal } from './plan.ts';
import type { NamespaceLabels } from './pod-affinity.ts';
import { nominatedBefore, type Preemption, planPreemption, priorityOf } from './preemption.ts';
import { claimNames, claimProblem } from './volume-claims.ts';

/** What the scheduler needs. `informers` is run by its owner. */
export interface SchedulerOptions {
  readonly client: ApiClient;
  readonly informers: InformerFactory;
  readonly clock: Clock;
  readonly log: Logger;
  /** Default: a recorder of its own, in the style of events.k8s.io as upstream's scheduler writes them. */
  readonly events?: EventRecorder;
  /** When given, pods are scheduled only while this candidate holds the Lease `kube-scheduler`; one per machine, the same after a restart. */
  readonly identity?: string;
  /** Pods with this `schedulerName` are ours. Default `default-scheduler`. */
  readonly name?: string;
}

/** Gives pods their nodes until the signal fires. */
export interface Scheduler {
  run(signal: AbortSignal): Promise<void>;
}

/** A scheduler that works on events alone: what is pending is tried when it, a node or a placed pod changes. */
export function createScheduler(options: SchedulerOptions): Scheduler {
  const { client, clock, log, identity } = options;
  const lead = (signal: AbortSignal): Promise<void> => new Run(options, signal).whole();
  if (identity === undefined) return { run: lead };
  const lease = { namespace: 'kube-system', name: 'kube-scheduler', identity };
  return { run: (signal) => runLeaderElection({ client, clock, log, ...lease, signal, lead }) };
}

class Run {
  readonly #options: SchedulerOptions;
  readonly #signal: AbortSignal;
  readonly #name: string;
  readonly #log: Logger;
  readonly #state = new ClusterState();
  readonly #pending: PendingPods;
  readonly #events: EventRecorder;
  readonly #binding = new Set<Promise<void>>();
  readonly #labelsOf: NamespaceLabels;
  readonly #pods: Informer<V1Pod>;
  readonly #budgets: Informer<V1PodDisruptionBudget>;
  readonly #claims: Informer<V1PersistentVolumeClaim>;
  /** Pods that a node was made free for; others of no higher priority leave them the room. */
  readonly #nominations = new Map<string, { readonly pod: V1Pod; readonly node: string }>();
  #ready = false;
  #planned = false;

  constructor(options: SchedulerOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
    this.#name = options.name ?? 'default-scheduler';
    this.#log = options.log.with({ component: this.#name });
    this.#pending = new PendingPods(options.clock, () => this.#wake());
    this.#events =
      options.events ??
      createEventRecorder({
        client: options.client,
        component: this.#name,
        clock: options.clock,
        log: options.log,
        style: 'series',
        kind: { apiVersion: 'v1', kind: 'Pod' },
      });
    const namespaces = options.informers.informer<V1Namespace>(resources.namespaces);
    this.#labelsOf = (name) => namespaces.get(name)?.metadata?.labels;
    this.#pods = options.informers.informer<V1Pod>(resources.pods);
    this.#budgets = options.informers.informer<V1PodDisruptionBudget>(resources.podDisruptionBudgets, {
      indexes: { namespace: sharedIndexes.namespace },
    });
    this.#claims = options.informers.informer<V1PersistentVolumeClaim>(resources.persistentVolumeClaims);
  }

  async whole(): Promise<void> {
    const { informers } = this.#options;
    const nodes = informers.informer<V1Node>(resources.nodes);
    const pods = this.#pods;
    const subscriptions = [
      nodes.onChange((change) => {
        if (change.type === 'deleted') this.#state.removeNode(change.object.metadata?.name ?? '');
        else this.#state.putNode(change.object);
        if (change.type !== 'updated' || schedulingChanged(change.previous, change.object)) this.#pending.retry();
      }),
      pods.onChange((change) => {
        if (change.type === 'deleted') this.#podGone(change.object);
        else this.#podSeen(change.object, change.type === 'updated' ? change.previous : undefined);
      }),
      this.#claims.onChange(({ object: { metadata } }) => {
        this.#pending.retry(
          (pod) => pod.metadata?.namespace === metadata?.namespace && claimNames(pod).includes(metadata?.name ?? ''),
        );
      }),
    ];
    try {
      await Promise.all([nodes.synced, pods.synced, this.#budgets.synced, this.#claims.synced]);
      this.#ready = true;
      this.#wake();
      await new Promise<void>((resolve) => {
        if (this.#signal.aborted) resolve();
        else this.#signal.addEventListener('abort', () => resolve(), { once: true });
      });
    } catch (error) {
      if (!this.#signal.aborted) throw error;
    } finally {
      for (const subscription of subscriptions) subscription[Symbol.dispose]();
      this.#pending.close();
      await Promise.all(this.#binding);
      if (!this.#options.events) await this.#events[Symbol.asyncDispose]();
    }
  }

  #podSeen(pod: V1Pod, previous: V1Pod | undefined): void {
    const key = keyOf(pod);
    this.#state.putPod(pod);
    if (pod.spec?.nodeName || isFinished(pod) || pod.metadata?.deletionTimestamp) {
      this.#pending.remove(key);
      this.#nominations.delete(key);
      const freed = isFinished(pod) && previous !== undefined && !isFinished(previous);
      const placed = !previous?.spec?.nodeName || !equalJson(previous.metadata?.labels, pod.metadata?.labels);
      if (freed) this.#pending.retry();
      else if (placed) this.#pending.retry(dependsOnPods);
      return;
    }
    if (!this.#isOurs(pod) || this.#state.isAssumed(key)) return;
    // From before a restart.
    const nominated = pod.status?.nominatedNodeName;
    if (nominated && previous === undefined) this.#nominations.set(key, { pod, node: nominated });
    // Our own status write is no reason to try again.
    const same = previous !== undefined && this.#pending.get(key) !== undefined && sameWishes(previous, pod);
    if (!same) this.#pending.put(pod);
  }

  #podGone(pod: V1Pod): void {
    const key = keyOf(pod);
    this.#state.removePod(key);
    this.#pending.remove(key);
    if (this.#nominations.delete(key) || pod.spec?.nodeName) this.#pending.retry();
  }

  #isOurs(pod: V1Pod): boolean {
    return (pod.spec?.schedulerName ?? 'default-scheduler') === this.#name && !pod.spec?.schedulingGates?.length;
  }

  #wake(): void {
    if (!this.#ready || this.#planned || this.#signal.aborted) return;
    this.#planned = true;
    queueMicrotask(() => {
      this.#planned = false;
      for (const pod of this.#pending.take()) this.#schedule(pod);
    });
  }

  #schedule(pod: V1Pod): void {
    const placement = this.#plan(pod);
    if (!placement.fits) {
      this.#pending.failed(pod);
      this.#makeRoom(pod, placement);
      return;
    }
    this.#nominations.delete(keyOf(pod));
    this.#state.assume(pod, placement.node);
    this.#track(this.#bind(pod, placement.node));
  }

  /** Plans as if the pods that a node was made free for were there already. */
  #plan(pod: V1Pod): Placement {
    const { nodes } = this.#state;
    const guests = nominatedBefore(pod, this.#nominations).flatMap(({ facts, node }) => {
      const state = nodes.find(({ name }) => name === node);
      return state === undefined ? [] : [{ facts, state }];
    });
    const problem = claimProblem(pod, (key) => this.#claims.get(key));
    if (problem !== undefined) return refusal(problem, nodes);
    for (const { facts, state } of guests) state.add(facts);
    try {
      return plan(pod, nodes, this.#labelsOf);
    } finally {
      for (const { facts, state } of guests) state.remove(keyOf(facts.pod));
    }
  }

  /** Takes pods of lower priority away for one that fits nowhere, where that helps. */
  #makeRoom(pod: V1Pod, { message, candidates }: Extract<Placement, { fits: false }>): void {
    const key = keyOf(pod);
    const nodes = this.#state.nodes.filter(({ node }) => node !== undefined);
    const preemption: Preemption = planPreemption({
      pod,
      nodes,
      candidates,
      labelsOf: this.#labelsOf,
      budgetsIn: (namespace) => this.#budgets.byIndex('namespace', namespace),
      nominated: this.#nominations.get(key)?.node,
    });
    if (preemption.kind === 'victims') {
      const { node, victims } = preemption;
      // The room was made for them before; they have to look for another.
      for (const [other, nomination] of [...this.#nominations])
        if (nomination.node === node && priorityOf(nomination.pod) < priorityOf(pod)) this.#nominations.delete(other);
      this.#nominations.set(key, { pod, node });
      this.#track(this.#evict(pod, node, victims).then(() => this.#reportFailure(pod, message, node)));
      return;
    }
    if (preemption.kind === 'none' || !preemption.waits) this.#nominations.delete(key);
    const why =
      preemption.kind === 'refused'
        ? `preemption: ${preemption.reason}.`
        : preemptionMessage(nodes.length, candidates.length, preemption.reasons);
    const whole = nodes.length === 0 ? message : `${message} ${why}`;
    this.#track(this.#reportFailure(pod, whole, this.#nominations.get(key)?.node));
  }

  async #evict(pod: V1Pod, node: string, victims: readonly V1Pod[]): Promise<void> {
    const { client, clock } = this.#options;
    for (const victim of victims) {
      if (victim.metadata?.deletionTimestamp) continue;
      const { namespace, name = '', uid } = victim.metadata ?? {};
      const condition = {
        type: 'DisruptionTarget',
        status: 'True',
        reason: 'PreemptionByScheduler',
        message: `${this.#name}: preempting to accommodate a higher priority pod`,
        lastTransitionTime: timeText(clock.now()),
      };
      // Conditions merge by their type.
      const patch = { metadata: { uid }, status: { conditions: [condition] } };
      try {
        await client.patch(resources.pods, { namespace, name }, 'strategic', patch, { subresource: 'status' });
        await client.delete(resources.pods, { namespace, name }, { preconditions: { ...(uid ? { uid } : {}) } });
      } catch (error) {
        if (codeOf(error) === 'notFound' || codeOf(error) === 'conflict') continue; // gone already
        this.#log.warn('a pod could not be preempted', { pod: keyOf(victim), error: messageOf(error) });
        this.#nominations.delete(keyOf(pod));
        this.#pending.retry((other) => keyOf(other) === keyOf(pod));
        return;
      }
      const message = `Preempted by pod ${pod.metadata?.uid} on node ${node}`;
      this.#events.event(victim, 'Normal', 'Preempted', message, { action: 'Preempting' });
    }
  }

  #track(work: Promise<void>): void {
    this.#binding.add(work);
    void work.finally(() => this.#binding.delete(work));
  }

  async #bind(pod: V1Pod, node: string): Promise<void> {
    const { namespace, name, uid } = pod.metadata ?? {};
    const body = {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { ...(namespace ? { namespace } : {}), name: name!, ...(uid ? { uid } : {}) },
      target: { apiVersion: 'v1', kind: 'Node', name: node },
    };
    try {
      await this.#options.client.createSubresource(resources.pods, { namespace, name: name! }, 'binding', body);
    } catch (error) {
      const key = keyOf(pod);
      if (this.#state.isAssumed(key)) this.#state.removePod(key);
      const code = codeOf(error);
      if (this.#signal.aborted || code === 'notFound' || code === 'conflict') return; // its next version decides
      this.#log.warn('binding failed', { pod: key, node, error: messageOf(error) });
      this.#pending.failed(pod);
      this.#pending.retry((other) => keyOf(other) === key);
      return;
    }
    const message = `Successfully assigned ${namespace}/${name} to ${node}`;
    this.#events.event(pod, 'Normal', 'Scheduled', message, { action: 'Binding' });
  }

  async #reportFailure(pod: V1Pod, message: string, nominated: string | undefined): Promise<void> {
    this.#events.event(pod, 'Warning', 'FailedScheduling', message, { action: 'Scheduling' });
    // What waits is kept as it was when it came; its status has been written since.
    const { conditions = [], nominatedNodeName } = (this.#pods.get(keyOf(pod)) ?? pod).status ?? {};
    const old = conditions.find(({ type }) => type === 'PodScheduled');
    const known = nominatedNodeName || undefined;
    const same = old?.status === 'False' && old.reason === 'Unschedulable' && old.message === message;
    if (same && known === nominated) return;
    const condition: V1PodCondition = {
      type: 'PodScheduled',
      status: 'False',
      reason: 'Unschedulable',
      message,
      lastTransitionTime:
        old?.status === 'False' && old.lastTransitionTime
          ? old.lastTransitionTime
          : timeText(this.#options.clock.now()),
    };
    const { namespace, name } = pod.metadata ?? {};
    const status = {
      conditions: [...conditions.filter(({ type }) => type !== 'PodScheduled'), condition],
      ...(known === nominated ? {} : { nominatedNodeName: nominated ?? null }),
    };
    try {
      await this.#options.client.patch(
        resources.pods,
        { namespace, name: name! },
        'strategic',
        { status },
        {
          subresource: 'status',
        },
      );
    } catch (error) {
      this.#log.debug('the condition was not written', { pod: keyOf(pod), error: messageOf(error) });
    }
  }
}

/** Whether a node changed in a way that could let a pod in. */
function schedulingChanged(before: V1Node, after: V1Node): boolean {
  return !(
    equalJson(before.spec, after.spec) &&
    equalJson(before.metadata?.labels, after.metadata?.labels) &&
    equalJson(before.status?.allocatable, after.status?.allocatable)
  );
}

/** Whether a pod asks for the same as before, its status aside. */
function sameWishes(before: V1Pod, after: V1Pod): boolean {
  return equalJson(before.spec, after.spec) && equalJson(before.metadata?.labels, after.metadata?.labels);
}

/** Whether where other pods are matters to a pod. */
function dependsOnPods(pod: V1Pod): boolean {
  const { affinity, topologySpreadConstraints } = pod.spec ?? {};
  return Boolean(affinity?.podAffinity || affinity?.podAntiAffinity || topologySpreadConstraints?.length);
}
