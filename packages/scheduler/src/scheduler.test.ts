import type { CoreV1Event, V1Node, V1PersistentVolumeClaim, V1Pod } from '@wherry/api';
import { silentLogger, VirtualClock } from '@wherry/base';
import { createInformerFactory, resources } from '@wherry/client';
import { createMemoryApi } from '@wherry/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createScheduler } from './scheduler.ts';

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

const node = (name: string, more: Partial<V1Node> = {}): V1Node => ({
  metadata: { name, labels: { 'kubernetes.io/hostname': name } },
  status: { allocatable: { cpu: '2', memory: '4Gi', pods: '110' } },
  ...more,
});

const pod = (name: string, cpu?: string, more: Partial<V1Pod['spec']> = {}): V1Pod => ({
  metadata: { name, namespace: 'a' },
  spec: { containers: [{ name: 'c', resources: cpu ? { requests: { cpu } } : {} }], ...more },
});

const placed = (name: string): string | undefined => api.peek<V1Pod>(resources.pods, `a/${name}`)?.spec?.nodeName;
const settle = (): Promise<void> => clock.advance(0);

test('a burst of pods is bound at once, spread over the nodes, within what they have', async () => {
  await api.create(resources.nodes, node('n1'));
  await api.create(resources.nodes, node('n2'));
  await settle();
  await Promise.all(Array.from({ length: 30 }, (_, n) => api.create(resources.pods, pod(`p${n}`, '100m'))));
  await settle();
  const names = api.all<V1Pod>(resources.pods).map((p) => p.spec?.nodeName);
  expect(names.filter((name) => name === 'n1')).toHaveLength(15);
  expect(names.filter((name) => name === 'n2')).toHaveLength(15);
  const events = api.all<CoreV1Event>(resources.events);
  expect(events).toHaveLength(30);
  expect(events[0]).toMatchObject({ reason: 'Scheduled', reportingComponent: 'default-scheduler', action: 'Binding' });
  expect(events.find((e) => e.involvedObject.name === 'p0')?.message).toMatch(/^Successfully assigned a\/p0 to n[12]$/);
});

test('assumed pods count: two that do not fit together do not get the same node', async () => {
  await api.create(resources.nodes, node('n1'));
  await settle();
  await Promise.all([api.create(resources.pods, pod('p1', '1500m')), api.create(resources.pods, pod('p2', '1500m'))]);
  await settle();
  expect(api.all<V1Pod>(resources.pods).filter((p) => p.spec?.nodeName)).toHaveLength(1);
});

test('a pod that fits nowhere says why, and is bound when room appears', async () => {
  await api.create(resources.pods, pod('big', '3'));
  await settle();
  expect(api.peek<V1Pod>(resources.pods, 'a/big')?.status?.conditions).toMatchObject([
    { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: 'no nodes available to schedule pods' },
  ]);
  await api.create(resources.nodes, node('n1'));
  await clock.advance(20);
  const message =
    '0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.';
  expect(api.peek<V1Pod>(resources.pods, 'a/big')?.status?.conditions?.[0]?.message).toBe(message);
  const events = api.all<CoreV1Event>(resources.events).filter((e) => e.reason === 'FailedScheduling');
  expect(events.at(-1)).toMatchObject({ type: 'Warning', message });
  await api.create(resources.nodes, node('n2', { status: { allocatable: { cpu: '8', memory: '8Gi', pods: '110' } } }));
  await clock.advance(100);
  expect(placed('big')).toBe('n2');
});

test('a deleted pod makes room; nothing is tried while nothing changes', async () => {
  await api.create(resources.nodes, node('n1'));
  await settle();
  await api.create(resources.pods, pod('p1', '1500m', { terminationGracePeriodSeconds: 0 }));
  await settle();
  await api.create(resources.pods, pod('p2', '1'));
  await settle();
  const writes = api.writes.length;
  await clock.advance(3_600_000);
  expect(api.writes.length).toBe(writes);
  await api.delete(resources.pods, { namespace: 'a', name: 'p1' });
  await settle();
  expect(placed('p2')).toBe('n1');
});

test('gated pods and those of other schedulers are left alone', async () => {
  await api.create(resources.nodes, node('n1'));
  await settle();
  const gated = await api.create(resources.pods, pod('gated', '1', { schedulingGates: [{ name: 'g' }] }));
  await api.create(resources.pods, pod('other', '1', { schedulerName: 'mine' }));
  await settle();
  expect(placed('gated')).toBeUndefined();
  expect(placed('other')).toBeUndefined();
  await api.update(resources.pods, { ...gated, spec: { ...gated.spec!, schedulingGates: [] } });
  await settle();
  expect(placed('gated')).toBe('n1');
});

test('a binding that fails gives the room back and is tried again', async () => {
  await api.create(resources.nodes, node('n1'));
  await settle();
  let failures = 0;
  api.failWith((verb) => (verb === 'binding' && ++failures <= 2 ? new Error('broken') : undefined));
  await api.create(resources.pods, pod('p1', '1500m'));
  await clock.advance(1000);
  expect(failures).toBe(3);
  expect(placed('p1')).toBe('n1');
});

test('a pod waits for its volume claims: to be there, then to be bound', async () => {
  await api.create(resources.nodes, node('n1'));
  await settle();
  await api.create(
    resources.pods,
    pod('p', undefined, { volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'data' } }] }),
  );
  await settle();
  const why = (): string | undefined =>
    api.peek<V1Pod>(resources.pods, 'a/p')?.status?.conditions?.find(({ type }) => type === 'PodScheduled')?.message;
  const rest = 'preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.';
  expect(why()).toBe(`0/1 nodes are available: persistentvolumeclaim "data" not found. ${rest}`);
  await api.create<V1PersistentVolumeClaim>(resources.persistentVolumeClaims, {
    metadata: { name: 'data', namespace: 'a' },
    status: { phase: 'Pending' },
  });
  await clock.advance(1000);
  expect(why()).toBe(`0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. ${rest}`);
  expect(placed('p')).toBeUndefined();
  const bound = { status: { phase: 'Bound' } };
  const at = { namespace: 'a', name: 'data' };
  await api.patch(resources.persistentVolumeClaims, at, 'merge', bound, { subresource: 'status' });
  await clock.advance(1000);
  expect(placed('p')).toBe('n1');
});
