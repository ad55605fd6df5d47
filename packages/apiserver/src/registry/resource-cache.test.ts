import { codeOf, VirtualClock } from '@wherry/base';
import { expect, test } from 'vitest';
import { type CacheEvent, ResourceCache } from './resource-cache.ts';
import { encodeStored, StoredObject } from './stored-object.ts';

function stored(name: string, revision: number, namespace = 'a'): StoredObject {
  const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace }, data: { x: 'é"metadata":{' } };
  return new StoredObject(`${namespace}/${name}`, revision, encodeStored(object));
}

test('splices the version into stored bytes, once and at the right place', () => {
  const object = stored('n', 42);
  expect(JSON.parse(object.bytes.toString())).toEqual({
    kind: 'ConfigMap',
    apiVersion: 'v1',
    metadata: { resourceVersion: '42', name: 'n', namespace: 'a' },
    data: { x: 'é"metadata":{' },
  });
  expect(object.bytes).toBe(object.bytes);
  expect(Object.isFrozen(object.object.data)).toBe(true);
  const again = object.reissued(50);
  expect(again.object).toEqual({ ...object.object, metadata: { ...object.object.metadata, resourceVersion: '50' } });
  expect(JSON.parse(again.bytes.toString())).toEqual(again.object);
  expect(JSON.parse(stored('n', 42).reissued(7).bytes.toString()).metadata.resourceVersion).toBe('7');
});

test('keeps keys in order, and namespaces apart that are prefixes of one another', () => {
  const cache = new ResourceCache(new VirtualClock(), 0);
  let revision = 0;
  for (const namespace of ['a', 'a-b', 'ab', 'a.c']) {
    for (const name of ['z', 'b', 'm']) cache.put(stored(name, ++revision, namespace));
  }
  expect(cache.range('a').map((object) => object.key)).toEqual(['a/b', 'a/m', 'a/z']);
  const keys = cache.range('').map((object) => object.key);
  expect(keys).toEqual([...keys].sort());
  cache.remove('a/m', ++revision);
  expect(cache.range('a', 'a/c').map((object) => object.key)).toEqual(['a/z']);
});

test('remembers events for a time and says when they are gone', async () => {
  const clock = new VirtualClock();
  const cache = new ResourceCache(clock, 10);
  expect(() => cache.eventsAfter(9)).toThrow('too old resource version: 9 (10)');
  for (let revision = 11; revision <= 1000; revision++) cache.put(stored('x', revision));
  expect(cache.eventsAfter(10)).toHaveLength(990);
  await clock.advance(80_000);
  expect(cache.eventsAfter(900)).toHaveLength(100);
  for (let revision = 1001; revision <= 1002; revision++) cache.put(stored('x', revision));
  expect(cache.eventsAfter(999)).toHaveLength(3);
  try {
    cache.eventsAfter(11);
    expect.unreachable();
  } catch (error) {
    expect(codeOf(error)).toBe('gone');
  }
});

test('forgets the oldest events when they take too much memory', () => {
  const cache = new ResourceCache(new VirtualClock(), 0);
  const raw = Buffer.from(`{"metadata":{"name":"x"},"data":"${'x'.repeat(100_000)}"}`);
  for (let revision = 1; revision <= 500; revision++) cache.put(new StoredObject('x', revision, raw));
  expect(cache.eventsAfter(400)).toHaveLength(100);
  expect(() => cache.eventsAfter(300)).toThrow('too old resource version');
});

test('hands events to the watchers of the namespace, and none after they left', () => {
  const cache = new ResourceCache(new VirtualClock(), 0);
  const seen: string[] = [];
  const watcher = (namespace: string) => ({
    namespace,
    deliver: (events: readonly CacheEvent[]) => {
      for (const event of events) seen.push(`${namespace || '*'} ${event.type} ${event.current.key}`);
    },
    fail: () => undefined,
  });
  const own = cache.watch(watcher('a'));
  cache.watch(watcher(''));
  cache.dispatch([cache.put(stored('x', 1)), cache.put(stored('x', 2, 'b'))]);
  own[Symbol.dispose]();
  cache.dispatch([cache.remove('a/x', 3)!]);
  expect(seen).toEqual(['* ADDED a/x', '* ADDED b/x', 'a ADDED a/x', '* DELETED a/x']);
  expect(cache.watchers).toBe(1);
});
