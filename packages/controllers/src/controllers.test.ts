import type { V1Deployment, V1Lease, V1Namespace } from '@wherry/api';
import { silentLogger, systemRandom, VirtualClock } from '@wherry/base';
import { createInformerFactory, resources } from '@wherry/client';
import { createMemoryApi } from '@wherry/testkit';
import { expect, test } from 'vitest';
import { createControllers } from './controllers.ts';

test('all controllers together: a namespace with a Deployment in it, there and gone; idle, nothing but the Lease is written', async () => {
  const clock = new VirtualClock();
  const api = createMemoryApi({ clock });
  const informers = createInformerFactory({ client: api, clock, log: silentLogger, jitter: () => 0 });
  const names = {
    pods: 'Pod',
    replicaSets: 'ReplicaSet',
    deployments: 'Deployment',
    configMaps: 'ConfigMap',
    serviceAccounts: 'ServiceAccount',
  } as const;
  const kinds = Object.entries(names).map(([key, kind]) => ({ ...resources[key as keyof typeof names], kind }));
  const controllers = createControllers({
    client: api,
    informers,
    clock,
    random: systemRandom,
    log: silentLogger,
    options: { kinds: () => kinds, rootCa: 'PEM', identity: 'm1' },
  });
  const end = new AbortController();
  const running = [informers.run(end.signal), controllers.run(end.signal)];
  await api.create<V1Namespace>(resources.namespaces, {
    metadata: { name: 'a' },
    spec: { finalizers: ['kubernetes'] },
  });
  const deployment: V1Deployment = {
    metadata: { name: 'web', namespace: 'a' },
    spec: {
      replicas: 30,
      selector: { matchLabels: { app: 'web' } },
      template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'c' }] } },
    },
  };
  await api.create(resources.deployments, deployment);
  await clock.advance(0);
  expect(api.all(resources.pods)).toHaveLength(30);
  expect(api.peek<V1Lease>(resources.leases, 'kube-system/kube-controller-manager')?.spec?.holderIdentity).toBe('m1');
  await clock.advance(30_000);
  const writes = api.writes.length;
  await clock.advance(120_000);
  expect(new Set(api.writes.slice(writes).map(({ resource }) => resource))).toEqual(new Set(['leases']));
  await api.delete(resources.namespaces, { name: 'a' });
  await clock.advance(1000);
  expect(api.all(resources.pods)).toHaveLength(0);
  expect(api.all(resources.namespaces)).toHaveLength(0);
  end.abort();
  await Promise.all(running);
});
