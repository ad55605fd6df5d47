import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { storeContract } from '../contract-suite.ts';
import { openEmbeddedStore } from './embedded-store.ts';

const root = mkdtempSync(join(tmpdir(), 'wherry-store-'));
afterAll(() => rmSync(root, { recursive: true }));
let count = 0;
const fresh = (): string => join(root, `${count++}`);

storeContract('embedded', () => openEmbeddedStore({ directory: fresh() }));

describe('the embedded store', () => {
  it('has everything when it is opened again', async () => {
    const directory = fresh();
    {
      await using store = await openEmbeddedStore({ directory });
      for (let n = 0; n < 20; n++) await store.put(`/k${n % 5}`, Buffer.from(`${n}`));
      await store.compact(8);
    }
    await using store = await openEmbeddedStore({ directory });
    expect(await store.revision()).toBe(20);
    expect((await store.list('/')).items.map((kv) => `${kv.value}`)).toEqual(['15', '16', '17', '18', '19']);
    expect(`${(await store.get('/k0', { revision: 12 }))?.value}`).toBe('10');
    await expect(store.get('/k0', { revision: 7 })).rejects.toMatchObject({ code: 'gone' });
    expect(await store.put('/k0', Buffer.from('next'), 16)).toEqual({ ok: true, revision: 21 });
  });

  it('keeps a bounded number of revisions by itself', async () => {
    await using store = await openEmbeddedStore({ directory: fresh(), keepRevisions: 50 });
    for (let n = 0; n < 300; n++) await store.put('/k', Buffer.from(`${n}`));
    await store.compact(0);
    await expect(store.get('/k', { revision: 150 })).rejects.toMatchObject({ code: 'gone' });
    expect(`${(await store.get('/k', { revision: 260 }))?.value}`).toBe('259');
  });

  it('can be open only once', async () => {
    const directory = fresh();
    const first = await openEmbeddedStore({ directory });
    await expect(openEmbeddedStore({ directory })).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining(`process ${process.pid}`),
    });
    await first[Symbol.asyncDispose]();
    await (await openEmbeddedStore({ directory }))[Symbol.asyncDispose]();
  });

  it('takes over the lock of a dead process, and of one whose id was given away', async () => {
    const directory = fresh();
    await (await openEmbeddedStore({ directory }))[Symbol.asyncDispose]();
    const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    for (const text of [JSON.stringify({ pid: process.pid, startTime: '1', bootId }), '{"pid":', '']) {
      writeFileSync(join(directory, 'lock'), text);
      await (await openEmbeddedStore({ directory }))[Symbol.asyncDispose]();
    }
  });

  it('names a damaged file', async () => {
    for (const damage of [
      (file: string) => writeFileSync(file, 'not a database at all'.repeat(1000)),
      (file: string) => truncateSync(file, 100),
      (file: string) => truncateSync(file, 8192),
      (file: string) => truncateSync(file, Math.floor(statSync(file).size / 2)),
    ]) {
      const directory = fresh();
      {
        await using store = await openEmbeddedStore({ directory });
        for (let n = 0; n < 200; n++) await store.put(`/k${n}`, Buffer.alloc(1000, `${n}`));
      }
      const file = join(directory, 'data.mdb');
      damage(file);
      const size = statSync(file).size;
      await expect(openEmbeddedStore({ directory })).rejects.toMatchObject({
        code: 'corrupt',
        message: expect.stringContaining(file),
      });
      expect(statSync(file).size).toBe(size);
    }
  });

  it('notices a flipped bit in a value', async () => {
    const directory = fresh();
    {
      await using store = await openEmbeddedStore({ directory });
      await store.put('/k', Buffer.from('a recognisable value'));
    }
    const file = join(directory, 'data.mdb');
    const content = readFileSync(file);
    for (let at = content.indexOf('recognisable'); at >= 0; at = content.indexOf('recognisable', at + 1)) {
      content[at]! ^= 1;
    }
    writeFileSync(file, content);
    await using store = await openEmbeddedStore({ directory });
    await expect(store.get('/k')).rejects.toMatchObject({ code: 'corrupt' });
  });
});
