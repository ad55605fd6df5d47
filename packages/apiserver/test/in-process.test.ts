import type { V1Service } from '@wherry/api';
import type { ApiServer } from '@wherry/apiserver';
import { codeOf } from '@wherry/base';
import { resources } from '@wherry/client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { admin, configMap, startServer } from './cluster.ts';

let server: ApiServer;

beforeEach(async () => {
  server = await startServer();
});

afterEach(async () => {
  await server[Symbol.asyncDispose]();
});

test('reads back what was written, frozen and with its version', async () => {
  const client = server.client(admin);
  const created = await client.create(resources.configMaps, configMap('a', { x: '1' }));
  expect(created.metadata).toMatchObject({ name: 'a', namespace: 'default' });
  expect(created.metadata!.uid).toMatch(/^[0-9a-f-]{36}$/);
  const read = await client.get(resources.configMaps, { namespace: 'default', name: 'a' });
  expect(read).toBe(await client.get(resources.configMaps, { namespace: 'default', name: 'a' }));
  expect(Object.isFrozen(read)).toBe(true);
  expect(read.metadata!.resourceVersion).toBe(created.metadata!.resourceVersion);
});

test('refuses a second object of the same name and an update of an old version', async () => {
  const client = server.client(admin);
  const first = await client.create(resources.configMaps, configMap('a'));
  await expect(client.create(resources.configMaps, configMap('a'))).rejects.toSatisfy(
    (e) => codeOf(e) === 'alreadyExists',
  );
  await client.update(resources.configMaps, { ...first, data: { x: '2' } } as never);
  await expect(client.update(resources.configMaps, { ...first, data: { x: '3' } } as never)).rejects.toSatisfy(
    (e) => codeOf(e) === 'conflict',
  );
});

test('does not write an update that changes nothing', async () => {
  const client = server.client(admin);
  const first = await client.create(resources.configMaps, configMap('a', { x: '1' }));
  const again = await client.update(resources.configMaps, first);
  expect(again.metadata!.resourceVersion).toBe(first.metadata!.resourceVersion);
});

test('watches from a version and follows a selection', async () => {
  const client = server.client(admin);
  const { resourceVersion } = await client.list(resources.configMaps, { namespace: 'default' });
  const stop = new AbortController();
  const seen: string[] = [];
  const watching = (async () => {
    const events = client.watch(resources.configMaps, {
      namespace: 'default',
      labelSelector: 'app=x',
      resourceVersion,
      signal: stop.signal,
    });
    for await (const event of events) {
      seen.push(`${event.type} ${(event.object.metadata as { name?: string }).name}`);
      if (seen.length === 3) return;
    }
  })();
  const labelled = (labels: Record<string, string>) => ({
    ...configMap('a'),
    metadata: { name: 'a', namespace: 'default', labels },
  });
  await client.create(resources.configMaps, configMap('other'));
  await client.create(resources.configMaps, labelled({ app: 'x' }));
  await client.update(resources.configMaps, labelled({ app: 'y' }));
  await client.update(resources.configMaps, labelled({ app: 'x' }));
  await watching;
  stop.abort();
  expect(seen).toEqual(['ADDED a', 'DELETED a', 'ADDED a']);
});

test('keeps an object with finalizers until they are gone', async () => {
  const client = server.client(admin);
  const object = configMap('a');
  object.metadata!.finalizers = ['example.com/hold'];
  await client.create(resources.configMaps, object);
  await client.delete(resources.configMaps, { namespace: 'default', name: 'a' });
  const held = await client.get(resources.configMaps, { namespace: 'default', name: 'a' });
  expect(held.metadata!.deletionTimestamp).toBeDefined();
  await client.update(resources.configMaps, { ...held, metadata: { ...held.metadata, finalizers: [] } } as never);
  await expect(client.get(resources.configMaps, { namespace: 'default', name: 'a' })).rejects.toSatisfy(
    (e) => codeOf(e) === 'notFound',
  );
});

test('makes what a cluster has from the start', async () => {
  const client = server.client(admin);
  const namespaces = await client.list(resources.namespaces);
  expect(namespaces.items.map((item) => item.metadata!.name)).toEqual([
    'default',
    'kube-node-lease',
    'kube-public',
    'kube-system',
  ]);
  const service = (await client.get(resources.services, { namespace: 'default', name: 'kubernetes' })) as unknown as {
    spec: { clusterIP: string };
  };
  expect(service.spec.clusterIP).toBe('10.96.0.1');
});

test('says who may not do what', async () => {
  const client = server.client({ username: 'mallory', groups: ['system:authenticated'] });
  await expect(client.list(resources.pods, { namespace: 'x' })).rejects.toThrow(
    'pods is forbidden: User "mallory" cannot list resource "pods" in API group "" in the namespace "x"',
  );
});

test('node ports that somebody else publishes are given to no service', async () => {
  const held = new Set([30_000, 30_001]);
  await using other = await startServer({
    nodePortRange: { from: 30_000, to: 30_002 },
    nodePortHolder: ({ protocol, hostPort }) =>
      protocol === 'TCP' && held.has(hostPort) ? 'container web' : undefined,
  });
  const client = other.client(admin);
  const create = async (name: string, port: object) => {
    const spec = { type: 'NodePort', ports: [{ port: 80, ...port }] };
    const service = { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'default' }, spec };
    return (await client.create(resources.services, service as never)) as V1Service;
  };
  const ports = ({ spec }: V1Service) => spec?.ports?.map(({ nodePort }) => nodePort);
  expect(ports(await create('free', {}))).toEqual([30_002]);
  await expect(create('full', {})).rejects.toThrow('range is full');
  await expect(create('held', { nodePort: 30_000 })).rejects.toThrow(
    'spec.ports[0].nodePort: Invalid value: 30000: provided port is already allocated: container web publishes it',
  );
  const datagrams = await create('udp', { nodePort: 30_000, protocol: 'UDP' });
  // What a service has stays its own, whoever takes it beside it.
  held.add(30_002);
  const free = (await client.get(resources.services, { namespace: 'default', name: 'free' })) as V1Service;
  await client.update(resources.services, { ...free, metadata: { ...free.metadata, labels: { a: 'b' } } } as never);
  expect(ports(datagrams)).toEqual([30_000]);
  held.clear();
  expect(ports(await create('then', {}))).toEqual([30_001]);
});
