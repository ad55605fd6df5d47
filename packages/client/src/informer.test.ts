import type { V1ConfigMap } from '@wherry/api';
import { silentLogger, VirtualClock, WherryError } from '@wherry/base';
import { createMemoryApi } from '@wherry/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createInformerFactory } from './informer.ts';
import type { InformerFactory } from './informer-contract.ts';
import { resources } from './resources.ts';

const clock = new VirtualClock();
let api = createMemoryApi({ clock });
let factory: InformerFactory;
let end: AbortController;
let running: Promise<void>;

beforeEach(() => {
  api = createMemoryApi({ clock });
  factory = createInformerFactory({ client: api, clock, log: silentLogger, jitter: () => 0 });
  end = new AbortController();
  running = factory.run(end.signal);
});
afterEach(async () => {
  end.abort();
  await running;
});

const configMap = (name: string, data: Record<string, string> = {}, labels = {}): V1ConfigMap => ({
  metadata: { name, namespace: 'a', labels },
  data,
});

const settle = (): Promise<void> => clock.advance(0);

test('an informer holds what is there and follows what changes', async () => {
  await api.create(resources.configMaps, configMap('one'));
  const informer = factory.informer<V1ConfigMap>(resources.configMaps);
  const seen: string[] = [];
  informer.onChange((change) => seen.push(`${change.type} ${change.object.metadata?.name}`));
  await informer.synced;
  await settle();
  const two = await api.create(resources.configMaps, configMap('two'));
  await api.update(resources.configMaps, { ...two, data: { x: '1' } });
  await api.delete(resources.configMaps, { namespace: 'a', name: 'one' });
  await settle();
  expect(seen).toEqual(['added one', 'added two', 'updated two', 'deleted one']);
  expect(informer.list().map((o) => o.metadata?.name)).toEqual(['two']);
  expect(Object.isFrozen(informer.get('a/two')!.data)).toBe(true);
});

test('the same arguments give the same informer, other selections another', () => {
  const all = factory.informer(resources.configMaps);
  expect(factory.informer(resources.configMaps, { indexes: { x: () => [] } })).toBe(all);
  expect(factory.informer(resources.configMaps, { namespace: 'b' })).not.toBe(all);
});

test('indexes follow updates and deletions, also those added late', async () => {
  const informer = factory.informer<V1ConfigMap>(resources.configMaps);
  const first = await api.create(resources.configMaps, configMap('one', {}, { tier: 'x' }));
  await informer.synced;
  await settle();
  factory.informer<V1ConfigMap>(resources.configMaps, {
    indexes: { tier: (object) => [object.metadata?.labels?.tier ?? ''] },
  });
  expect(informer.byIndex('tier', 'x')).toHaveLength(1);
  await api.update(resources.configMaps, { ...first, metadata: { ...first.metadata, labels: { tier: 'y' } } });
  await settle();
  expect(informer.byIndex('tier', 'x')).toHaveLength(0);
  expect(informer.byIndex('tier', 'y')).toHaveLength(1);
});

test('a broken watch is resumed without losing or repeating anything', async () => {
  const informer = factory.informer<V1ConfigMap>(resources.configMaps);
  const seen: string[] = [];
  informer.onChange((change) => seen.push(`${change.type} ${change.object.metadata?.name}`));
  await informer.synced;
  await settle();
  await api.create(resources.configMaps, configMap('one'));
  await settle();
  api.breakWatches();
  await api.create(resources.configMaps, configMap('two'));
  await clock.advance(1000);
  expect(seen).toEqual(['added one', 'added two']);
});

test('after a compaction the informer lists again and reports what went meanwhile', async () => {
  const informer = factory.informer<V1ConfigMap>(resources.configMaps);
  const seen: string[] = [];
  informer.onChange((change) => seen.push(`${change.type} ${change.object.metadata?.name}`));
  await api.create(resources.configMaps, configMap('one'));
  await informer.synced;
  await settle();
  api.failWith((verb) => (verb === 'watch' ? new WherryError('unavailable', 'down') : undefined));
  api.breakWatches();
  await settle();
  await api.delete(resources.configMaps, { namespace: 'a', name: 'one' });
  await api.create(resources.configMaps, configMap('one'));
  await api.create(resources.configMaps, configMap('two'));
  api.compact();
  await api.create(resources.configMaps, configMap('three'));
  api.failWith(undefined);
  await clock.advance(60_000);
  expect(seen).toEqual(['added one', 'deleted one', 'added one', 'added two', 'added three']);
});

test('a list that fails is tried again with back-off', async () => {
  let calls = 0;
  api.failWith((verb) => (verb === 'list' && ++calls <= 4 ? new WherryError('unavailable', 'down') : undefined));
  const informer = factory.informer<V1ConfigMap>(resources.configMaps);
  await clock.advance(100);
  expect(calls).toBe(2); // the second at once, the third after 200 ms (halved by the jitter)
  await clock.advance(10_000);
  expect(calls).toBe(5);
  await informer.synced;
});

test('one failing handler does not keep news from the others', async () => {
  const informer = factory.informer<V1ConfigMap>(resources.configMaps);
  let count = 0;
  informer.onChange(() => {
    throw new Error('broken');
  });
  informer.onChange(() => count++);
  await informer.synced;
  await settle();
  await api.create(resources.configMaps, configMap('one'));
  await settle();
  expect(count).toBe(1);
});
