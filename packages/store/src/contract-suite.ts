import { afterEach, describe, expect, it } from 'vitest';
import type { Store, StoreEvent, WatchBatch } from './store.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text);
const text = (value: Uint8Array | undefined): string | undefined => value && Buffer.from(value).toString();

/** What every store must do. `open` gives an empty one; the suite disposes it. */
export function storeContract(name: string, open: () => Promise<Store>): void {
  describe(`store contract: ${name}`, () => {
    let store: Store;
    const stop: AbortController[] = [];
    const start = async (): Promise<Store> => {
      store = await open();
      return store;
    };
    afterEach(async () => {
      for (const controller of stop.splice(0)) controller.abort();
      await store[Symbol.asyncDispose]();
    });

    /** Collects events until there are `count`. */
    async function take(prefix: string, after: number, count: number): Promise<StoreEvent[]> {
      const controller = new AbortController();
      stop.push(controller);
      const events: StoreEvent[] = [];
      if (count === 0) return events;
      for await (const batch of store.watch(prefix, after, { signal: controller.signal })) {
        for (const event of batch.events) events.push(event);
        if (events.length >= count) break;
      }
      return events;
    }
    const brief = (event: StoreEvent): string =>
      event.type === 'put'
        ? `put ${event.kv.key}=${text(event.kv.value)}@${event.kv.modRevision} was ${text(event.previous?.value)}`
        : `delete ${event.key}@${event.revision} was ${text(event.previous?.value)}`;

    describe('reads and writes', () => {
      it('starts empty at revision 0 and counts each change', async () => {
        await start();
        expect(await store.revision()).toBe(0);
        expect(await store.get('/a')).toBeUndefined();
        expect(await store.put('/a', bytes('1'))).toEqual({ ok: true, revision: 1 });
        expect(await store.put('/a', bytes('2'))).toEqual({ ok: true, revision: 2 });
        const kv = await store.get('/a');
        expect([text(kv?.value), kv?.createRevision, kv?.modRevision]).toEqual(['2', 1, 2]);
        expect(await store.delete('/a')).toEqual({ ok: true, revision: 3 });
        expect(await store.get('/a')).toBeUndefined();
        await store.put('/a', bytes('3'));
        expect((await store.get('/a'))?.createRevision).toBe(4);
      });

      it('compares the mod revision, 0 meaning that nothing is there', async () => {
        await start();
        expect((await store.put('/a', bytes('1'), 0)).ok).toBe(true);
        const failed = await store.put('/a', bytes('2'), 0);
        expect(failed.ok === false && text(failed.current?.value)).toBe('1');
        expect((await store.put('/a', bytes('2'), 1)).ok).toBe(true);
        expect((await store.delete('/a', 1)).ok).toBe(false);
        expect((await store.delete('/a', 2)).ok).toBe(true);
        expect(await store.delete('/a')).toEqual({ ok: false, current: undefined });
        expect(await store.put('/a', bytes('2'), 2)).toEqual({ ok: false, current: undefined });
        expect(await store.revision()).toBe(3);
      });

      it('decides compares of concurrent writers one after the other', async () => {
        await start();
        const results = await Promise.all(Array.from({ length: 50 }, (_, n) => store.put('/a', bytes(`${n}`), 0)));
        expect(results.filter((result) => result.ok)).toHaveLength(1);
        expect(results[0]!.ok).toBe(true);
        const more = await Promise.all(Array.from({ length: 50 }, (_, n) => store.put(`/k${n}`, bytes(`${n}`), 0)));
        expect(new Set(more.map((result) => result.ok && result.revision)).size).toBe(50);
        expect(await store.revision()).toBe(51);
      });

      it('keeps what it was given, whatever the caller does with its buffer', async () => {
        await start();
        const buffer = Buffer.from('before');
        const written = store.put('/a', buffer);
        buffer.fill('x');
        await written;
        const first = await store.get('/a');
        await store.put('/b', bytes('other'));
        await store.get('/b');
        expect(text(first?.value)).toBe('before');
      });

      it('takes empty, binary and large values', async () => {
        await start();
        const large = Buffer.alloc(1_500_000, 'abc');
        await store.put('/empty', new Uint8Array());
        await store.put('/binary', Uint8Array.of(0, 255, 10, 0));
        await store.put('/large', large);
        expect((await store.get('/empty'))?.value).toHaveLength(0);
        expect([...(await store.get('/binary'))!.value]).toEqual([0, 255, 10, 0]);
        expect(large.equals((await store.get('/large'))!.value)).toBe(true);
      });

      it('refuses keys and values that it cannot keep', async () => {
        await start();
        await expect(store.put('', bytes('x'))).rejects.toMatchObject({ code: 'invalid' });
        await expect(store.put('a\0b', bytes('x'))).rejects.toMatchObject({ code: 'invalid' });
        await expect(store.put('k'.repeat(2000), bytes('x'))).rejects.toMatchObject({ code: 'invalid' });
        await expect(store.put('k', Buffer.alloc(64 * 1024 * 1024))).rejects.toMatchObject({ code: 'tooLarge' });
        expect(await store.revision()).toBe(0);
      });
    });

    describe('lists', () => {
      const fill = async (...keys: string[]): Promise<void> => {
        await start();
        for (const key of keys) await store.put(key, bytes(key));
      };
      const keys = async (...args: Parameters<Store['list']>): Promise<string[]> =>
        (await store.list(...args)).items.map((item) => item.key);

      it('gives the keys of a prefix in byte order', async () => {
        await fill('/b/2', '/a/1', '/b/10', '/b', '/b/é', '/b/\u{1f600}', '/b/\uffee', '/c');
        expect(await keys('/b/')).toEqual(['/b/10', '/b/2', '/b/é', '/b/\uffee', '/b/\u{1f600}']);
        expect(await keys('')).toHaveLength(8);
        expect(await keys('/none')).toEqual([]);
      });

      it('pages, and counts what remains', async () => {
        await fill('/p/1', '/p/2', '/p/3', '/p/4', '/q');
        const first = await store.list('/p/', { limit: 3 });
        expect([first.items.length, first.more, first.remaining, first.revision]).toEqual([3, true, 1, 5]);
        const second = await store.list('/p/', { limit: 3, start: '/p/4', revision: first.revision });
        expect([second.items.map((item) => item.key), second.more, second.remaining]).toEqual([['/p/4'], false, 0]);
        expect((await store.list('/p/', { limit: 4 })).more).toBe(false);
        expect(await keys('/p/', { start: '/a' })).toHaveLength(4);
      });

      it('shows the past', async () => {
        await fill('/p/1', '/p/2', '/p/3');
        await store.put('/p/2', bytes('new'));
        await store.delete('/p/1');
        await store.put('/p/0', bytes('late'));
        await store.put('/p/1', bytes('again'));
        const at = async (revision: number): Promise<string> =>
          (await store.list('/p/', { revision })).items.map((item) => `${item.key}=${text(item.value)}`).join(' ');
        expect(await at(1)).toBe('/p/1=/p/1');
        expect(await at(3)).toBe('/p/1=/p/1 /p/2=/p/2 /p/3=/p/3');
        expect(await at(4)).toBe('/p/1=/p/1 /p/2=new /p/3=/p/3');
        expect(await at(5)).toBe('/p/2=new /p/3=/p/3');
        expect(await at(7)).toBe('/p/0=late /p/1=again /p/2=new /p/3=/p/3');
        const page = await store.list('/p/', { revision: 4, limit: 1 });
        expect([page.more, page.remaining, page.revision]).toEqual([true, 2, 4]);
        expect(text((await store.get('/p/1', { revision: 4 }))?.value)).toBe('/p/1');
        expect(await store.get('/p/1', { revision: 6 })).toBeUndefined();
        expect(text((await store.get('/p/1', { revision: 7 }))?.value)).toBe('again');
        expect(await store.get('/p/0', { revision: 5 })).toBeUndefined();
        await expect(store.get('/p/1', { revision: 99 })).rejects.toMatchObject({ code: 'unavailable' });
      });

      it('does not mix up a key with one that it is the beginning of', async () => {
        await fill('/p', '/p/x');
        await store.put('/p', bytes('2'));
        await store.put('/p/x', bytes('2'));
        expect(await keys('/p', { revision: 2 })).toEqual(['/p', '/p/x']);
        expect(text((await store.get('/p', { revision: 3 }))?.value)).toBe('2');
        expect(text((await store.get('/p/x', { revision: 3 }))?.value)).toBe('/p/x');
      });
    });

    describe('watches', () => {
      it('gives what happened since a revision, then what happens', async () => {
        await start();
        await store.put('/a', bytes('1'));
        await store.put('/a', bytes('2'));
        await store.delete('/a');
        const events = take('/', 1, 3);
        await store.put('/b', bytes('3'));
        expect((await events).map(brief)).toEqual([
          'put /a=2@2 was 1',
          'delete /a@3 was 2',
          'put /b=3@4 was undefined',
        ]);
      });

      it('is limited to its prefix, in order, without gaps', async () => {
        await start();
        const all = take('/a/', 0, 100);
        await Promise.all(Array.from({ length: 200 }, (_, n) => store.put(n % 2 ? '/a/k' : '/b/k', bytes(`${n}`))));
        const revisions = (await all).map((event) => (event.type === 'put' ? event.kv.modRevision : event.revision));
        expect(revisions).toEqual(Array.from({ length: 100 }, (_, n) => 2 * n + 2));
      });

      it('serves a late watcher the same events as an early one', async () => {
        await start();
        const early = take('/', 0, 300);
        for (let round = 0; round < 50; round++) {
          await Promise.all([
            store.put('/x', bytes(`x${round}`)),
            store.put(`/y${round % 7}`, bytes(`${round}`)),
            store.put('/z', bytes('z')),
            store.delete('/z'),
            store.put('/x', bytes(`second ${round}`)),
            store.put(`/n${round}`, bytes('n'), 0),
          ]);
        }
        const live = (await early).map(brief);
        expect(live).toHaveLength(300);
        expect((await take('/', 0, 300)).map(brief)).toEqual(live);
        expect((await take('/', 123, 177)).map(brief)).toEqual(live.slice(123));
      });

      it('lets a slow watcher catch up without losing events', async () => {
        await start();
        const controller = new AbortController();
        stop.push(controller);
        const watch = store.watch('/', 0, { signal: controller.signal })[Symbol.asyncIterator]();
        await store.put('/first', bytes('1'));
        await watch.next();
        const total = 10_000;
        for (let done = 0; done < total; done += 500) {
          await Promise.all(Array.from({ length: 500 }, (_, n) => store.put(`/k${n}`, bytes(`${done + n}`))));
        }
        const seen: number[] = [];
        while (seen.length < total) {
          const batch = (await watch.next()).value as WatchBatch;
          for (const event of batch.events) seen.push(event.type === 'put' ? event.kv.modRevision : -1);
        }
        expect(seen).toEqual(Array.from({ length: total }, (_, n) => n + 2));
      });

      it('ends with the signal, also while it waits', async () => {
        await start();
        const controller = new AbortController();
        const ended = (async () => {
          for await (const _ of store.watch('/', 0, { signal: controller.signal }));
          return 'ended';
        })();
        await store.revision();
        controller.abort();
        expect(await ended).toBe('ended');
      });

      it('ends with unavailable when the store closes', async () => {
        await start();
        const watch = take('/', 0, 1);
        watch.catch(() => undefined);
        await store.revision();
        await store[Symbol.asyncDispose]();
        await expect(watch).rejects.toMatchObject({ code: 'unavailable' });
        await expect(store.put('/a', bytes('1'))).rejects.toMatchObject({ code: 'unavailable' });
      });
    });

    describe('compaction', () => {
      it('forgets what was replaced or deleted, and keeps what stands', async () => {
        await start();
        await store.put('/a', bytes('1'));
        await store.put('/a', bytes('2'));
        await store.put('/b', bytes('1'));
        await store.delete('/b');
        await store.put('/a', bytes('3'));
        await store.compact(4);
        await expect(store.get('/a', { revision: 3 })).rejects.toMatchObject({ code: 'gone' });
        await expect(store.list('/', { revision: 1 })).rejects.toMatchObject({ code: 'gone' });
        await expect(take('/', 3, 1)).rejects.toMatchObject({ code: 'gone' });
        expect(text((await store.get('/a', { revision: 4 }))?.value)).toBe('2');
        expect(await store.get('/b', { revision: 4 })).toBeUndefined();
        expect((await take('/', 4, 1)).map(brief)).toEqual(['put /a=3@5 was 2']);
        await store.compact(5);
        expect(text((await store.get('/a'))?.value)).toBe('3');
        expect(await store.revision()).toBe(5);
        await store.compact(2);
        await expect(store.compact(6)).rejects.toMatchObject({ code: 'invalid' });
      });

      it('runs beside writers', async () => {
        await start();
        for (let round = 0; round < 10; round++) {
          await Promise.all(Array.from({ length: 100 }, (_, n) => store.put(`/k${n}`, bytes(`${round}`))));
        }
        const writes = Array.from({ length: 100 }, (_, n) => store.put(`/k${n}`, bytes('last')));
        await Promise.all([store.compact(1000), ...writes]);
        expect((await store.list('/')).items.every((item) => text(item.value) === 'last')).toBe(true);
        expect(await take('/', 1000, 100)).toHaveLength(100);
      });
    });
  });
}
