import type { CoreV1Event, V1Node, V1Pod, V1PodDisruptionBudget } from '@wherry/api';
import { silentLogger, VirtualClock } from '@wherry/base';
import { createInformerFactory, resources } from '@wherry/client';
import { createMemoryApi } from '@wherry/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { factsOf, NodeState } from './node-state.ts';
import { type PreemptionInput, planPreemption } from './preemption.ts';
import { createScheduler } from './scheduler.ts';

const node = (name: string, cpu = '2'): V1Node => ({
  metadata: { name },
  status: { allocatable: { cpu, memory: '4Gi', pods: '110' } },
});
const pod = (name: string, cpu: string, priority: number, more: V1Pod = {}): V1Pod => ({
  ...more,
  metadata: { name, namespace: 'a', uid: `uid-${name}`, labels: { app: name[0]! }, ...more.metadata },
  spec: { priority, containers: [{ name: 'c', resources: { requests: { cpu } } }], ...more.spec },
});
const budget = (app: string, disruptionsAllowed: number): V1PodDisruptionBudget => ({
  metadata: { name: app, namespace: 'a' },
  spec: { selector: { matchLabels: { app } } },
  status: { disruptionsAllowed },
});

/** Nodes of 2 cores with these pods on them. */
function machines(...pods: readonly (readonly V1Pod[])[]): NodeState[] {
  return pods.map((own, at) => {
    const state = new NodeState(`n${at + 1}`);
    state.node = node(state.name);
    for (const one of own) state.add(factsOf(one));
    return state;
  });
}

function choose(wanted: V1Pod, nodes: readonly NodeState[], more: Partial<PreemptionInput> = {}): unknown {
  const before = nodes.map(({ pods, requested }) => [[...pods.keys()].sort(), requested.get('cpu')]);
  const input = { labelsOf: () => undefined, budgetsIn: () => [], nominated: undefined, candidates: nodes, ...more };
  const result = planPreemption({ pod: wanted, nodes, ...input });
  expect(nodes.map(({ pods, requested }) => [[...pods.keys()].sort(), requested.get('cpu')])).toEqual(before);
  if (result.kind !== 'victims') return result.kind === 'none' ? result.reasons : result.reason;
  return [result.node, ...result.victims.map(({ metadata }) => metadata!.name)];
}

test('no more goes than needed, and the least important of it', () => {
  const pods = [pod('a', '500m', 5), pod('b', '500m', 1), pod('c', '500m', 3), pod('d', '500m', 9)];
  expect(choose(pod('x', '500m', 8), machines(pods))).toEqual(['n1', 'b']);
  expect(choose(pod('x', '1', 8), machines(pods))).toEqual(['n1', 'c', 'b']);
  expect(choose(pod('x', '1800m', 8), machines(pods))).toEqual(['Insufficient cpu']);
  expect(choose(pod('x', '500m', 1), machines(pods))).toEqual(['No preemption victims found for incoming pod']);
});

test('of several nodes the one where the least is lost', () => {
  const high = [pod('a', '2', 7)];
  const low = [pod('b', '1', 2), pod('c', '1', 2)];
  const one = [pod('d', '2', 2)];
  expect(choose(pod('x', '2', 9), machines(high, low, one))).toEqual(['n3', 'd']);
  expect(choose(pod('x', '2', 9), machines(high, low))).toEqual(['n2', 'b', 'c']);
  expect(choose(pod('x', '2', 9), machines(one, low), { budgetsIn: () => [budget('d', 0)] })).toEqual(['n2', 'b', 'c']);
  const started = (name: string, startTime: string): V1Pod => pod(name, '2', 2, { status: { startTime } });
  const [old, young] = [started('o', '2026-01-01T00:00:00Z'), started('y', '2026-01-02T00:00:00Z')];
  expect(choose(pod('x', '2', 9), machines([old], [young]))).toEqual(['n2', 'y']);
});

test('what a budget protects goes last, but goes', () => {
  const pods = [pod('a', '1', 1), pod('b', '1', 5)];
  expect(choose(pod('x', '1', 9), machines(pods))).toEqual(['n1', 'a']);
  expect(choose(pod('x', '1', 9), machines(pods), { budgetsIn: () => [budget('a', 0)] })).toEqual(['n1', 'b']);
  expect(choose(pod('x', '2', 9), machines(pods), { budgetsIn: () => [budget('a', 0)] })).toEqual(['n1', 'b', 'a']);
});

test('who may not preempt, or waits for what it preempted, does not', () => {
  const never = pod('x', '1', 9, { spec: { preemptionPolicy: 'Never', containers: [] } });
  expect(choose(never, machines([pod('a', '2', 1)]))).toBe('not eligible due to preemptionPolicy=Never');
  const going = pod('a', '2', 1, { metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } });
  expect(choose(pod('x', '1', 9), machines([going]), { nominated: 'n1' })).toBe(
    'not eligible due to a terminating pod on the nominated node',
  );
});

let clock: VirtualClock;
let api: ReturnType<typeof createMemoryApi>;
let end: AbortController;
let running: Promise<unknown>;

beforeEach(() => {
  clock = new VirtualClock();
  api = createMemoryApi({ clock });
  end = new AbortController();
  const informers = createInformerFactory({ client: api, clock, log: silentLogger, jitter: () => 0 });
  const scheduler = createScheduler({ client: api, informers, clock, log: silentLogger });
  running = Promise.all([informers.run(end.signal), scheduler.run(end.signal)]);
});
afterEach(async () => {
  end.abort();
  await running;
});

const peek = (name: string): V1Pod | undefined => api.peek<V1Pod>(resources.pods, `a/${name}`);
const events = (): string[] =>
  api
    .all<CoreV1Event>(resources.events)
    .map((event) => `${event.involvedObject.name} ${event.reason}: ${event.message}`);

test('a pod of high priority gets its room when its victim has gone, and nobody of lower priority before it', async () => {
  await api.create(resources.nodes, node('n1'));
  await api.create(resources.pods, pod('low', '2', 1));
  await clock.advance(0);
  expect(peek('low')?.spec?.nodeName).toBe('n1');
  await api.create(resources.pods, pod('high', '1500m', 10));
  await clock.advance(100);
  expect(peek('low')?.metadata?.deletionTimestamp).toBeDefined();
  expect(peek('low')?.status?.conditions).toMatchObject([
    { type: 'DisruptionTarget', status: 'True', reason: 'PreemptionByScheduler' },
  ]);
  expect(peek('high')?.spec?.nodeName).toBeUndefined();
  expect(peek('high')?.status).toMatchObject({ nominatedNodeName: 'n1', conditions: [{ type: 'PodScheduled' }] });
  expect(events()).toContain(`low Preempted: Preempted by pod ${peek('high')!.metadata!.uid} on node n1`);
  expect(events()).toContain('high FailedScheduling: 0/1 nodes are available: 1 Insufficient cpu.');
  await api.create(resources.pods, pod('mid', '1', 5));
  await clock.advance(100);
  await api.delete(resources.pods, { namespace: 'a', name: 'low' }, { gracePeriodSeconds: 0 });
  await clock.advance(20_000);
  expect(peek('high')?.spec?.nodeName).toBe('n1');
  expect(peek('mid')?.spec?.nodeName).toBeUndefined();
});

test('a pod that waits is written once, not at every try', async () => {
  await api.create(resources.nodes, node('n1'));
  await api.create(resources.pods, pod('full', '2', 1));
  await api.create(resources.pods, pod('waits', '1', 1));
  await clock.advance(100);
  const written = (): number => api.writes.filter(({ key, verb }) => key === 'a/waits' && verb === 'patch').length;
  expect(written()).toBe(1);
  for (let change = 0; change < 3; change++) {
    const labels = { change: String(change) };
    await api.patch(resources.nodes, { name: 'n1' }, 'merge', { metadata: { labels } });
    await clock.advance(15_000);
  }
  expect(written()).toBe(1);
});
