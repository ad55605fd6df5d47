import { VirtualClock } from '@wherry/base';
import { resources } from '@wherry/client';
import { createMemoryStore } from '@wherry/store';
import { expect, test } from 'vitest';
import { admin, configMap, startServer } from './cluster.ts';

test('Events leave after an hour', async () => {
  const clock = new VirtualClock();
  await using server = await startServer({ clock });
  const client = server.client(admin);
  const event = (name: string) => ({
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name, namespace: 'default' },
    involvedObject: { kind: 'Pod', namespace: 'default', name: 'p' },
    reason: 'Test',
    message: 'x',
    type: 'Normal',
  });
  await client.create(resources.events, event('first') as never);
  await clock.advance(30 * 60_000);
  await client.create(resources.events, event('second') as never);
  await clock.advance(31 * 60_000);
  const left = await client.list(resources.events, { namespace: 'default' });
  expect(left.items.map((item) => item.metadata!.name)).toEqual(['second']);
  await clock.advance(31 * 60_000);
  expect((await client.list(resources.events, { namespace: 'default' })).items).toEqual([]);
});

test('old versions are compacted, the newest five minutes are not', async () => {
  const clock = new VirtualClock();
  const store = createMemoryStore();
  await using server = await startServer({ clock, store });
  const client = server.client(admin);
  await client.create(resources.configMaps, configMap('a'));
  const early = await store.revision();
  await clock.advance(6 * 60_000);
  await client.patch(resources.configMaps, { namespace: 'default', name: 'a' }, 'merge', { data: { x: '1' } });
  await clock.advance(6 * 60_000);
  await client.patch(resources.configMaps, { namespace: 'default', name: 'a' }, 'merge', { data: { x: '2' } });
  await clock.advance(6 * 60_000);
  await expect(store.list('/registry/', { revision: early - 1 })).rejects.toMatchObject({ code: 'gone' });
  expect((await client.list(resources.configMaps, { namespace: 'default' })).items).toHaveLength(1);
});

test('a server that is started again finds everything', async () => {
  const store = createMemoryStore();
  const first = await startServer({ store });
  const created = await first.client(admin).create(resources.configMaps, configMap('a', { x: '1' }));
  await first[Symbol.asyncDispose]();
  await using second = await startServer({ store });
  const read = await second.client(admin).get(resources.configMaps, { namespace: 'default', name: 'a' });
  expect(read).toEqual(created);
});
