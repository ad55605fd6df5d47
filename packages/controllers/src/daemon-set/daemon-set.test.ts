import type { V1DaemonSet, V1Node } from '@wherry/api';
import { resources } from '@wherry/client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ControlPlane, startControlPlane } from '../../test/control-plane.ts';
import { daemonSetController } from './daemon-set.ts';
import { nodeOfPod } from './plan.ts';

let plane: ControlPlane;
beforeEach(async () => {
  plane = await startControlPlane((context) => [daemonSetController(context)]);
});
afterEach(() => plane[Symbol.asyncDispose]());

const node = (name: string, labels: Record<string, string> = {}, spec: V1Node['spec'] = {}): Promise<V1Node> =>
  plane.api.create<V1Node>(resources.nodes, { metadata: { name, labels }, spec });
const create = (template: object = {}): Promise<V1DaemonSet> =>
  plane.api.create<V1DaemonSet>(resources.daemonSets, {
    metadata: { name: 'ds', namespace: 'a' },
    spec: {
      selector: { matchLabels: { app: 'ds' } },
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1, maxSurge: 0 } },
      template: {
        metadata: { labels: { app: 'ds' } },
        spec: { containers: [{ name: 'c', image: 'one' }], ...template },
      },
    },
  });
const set = (): V1DaemonSet => plane.api.peek<V1DaemonSet>(resources.daemonSets, 'a/ds')!;
const nodes = (): (string | undefined)[] => plane.pods().map(nodeOfPod).sort();

test('one pod on each node that fits, also on nodes that come later', async () => {
  await node('n1', { role: 'x' });
  await node('n2', { role: 'x' }, { taints: [{ key: 'k', effect: 'NoSchedule' }] });
  await node('n3', {}, {});
  await create({ nodeSelector: { role: 'x' } });
  await plane.settle();
  expect(nodes()).toEqual(['n1']);
  expect(plane.events()[0]).toMatch(/^SuccessfulCreate: Created pod: ds-[a-z0-9]{5}$/);
  await node('n4', { role: 'x' }, { unschedulable: true });
  await plane.settle();
  expect(nodes()).toEqual(['n1', 'n4']);
  expect(set().status).toMatchObject({
    desiredNumberScheduled: 2,
    currentNumberScheduled: 2,
    numberReady: 2,
    numberAvailable: 2,
    updatedNumberScheduled: 2,
  });
});

test('a pod goes when its node does not fit any more, or is gone', async () => {
  const one = await node('n1');
  await node('n2');
  await create();
  await plane.settle();
  await plane.api.update(resources.nodes, { ...one, spec: { taints: [{ key: 'k', effect: 'NoExecute' }] } });
  await plane.api.delete(resources.nodes, { name: 'n2' });
  await plane.settle();
  expect(nodes()).toEqual([]);
});

test('a new template replaces pods one node at a time', async () => {
  for (const name of ['n1', 'n2', 'n3']) await node(name);
  await create();
  await plane.settle();
  let least = 3;
  plane.informers.informer(resources.pods).onChange(() => {
    least = Math.min(least, plane.pods().length);
  });
  await plane.api.patch(resources.daemonSets, { namespace: 'a', name: 'ds' }, 'merge', {
    spec: { template: { spec: { containers: [{ name: 'c', image: 'two' }] } } },
  });
  await plane.clock.advance(1000);
  expect(plane.pods().map((pod) => pod.spec?.containers[0]?.image)).toEqual(['two', 'two', 'two']);
  expect(nodes()).toEqual(['n1', 'n2', 'n3']);
  expect(least).toBe(2);
  expect(plane.api.all(resources.controllerRevisions)).toHaveLength(2);
});

test('a failed daemon pod is reported and replaced', async () => {
  await node('n1');
  await create();
  await plane.settle();
  await plane.setPhase(plane.pods()[0]!, 'Failed');
  await plane.clock.advance(1000);
  expect(plane.pods().map((pod) => pod.status?.phase)).toEqual(['Running']);
  expect(plane.events().some((event) => event.startsWith('FailedDaemonPod: Found failed daemon pod a/ds-'))).toBe(true);
});
