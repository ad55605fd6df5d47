import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DisposalStack, silentLogger } from '@wherry/base';
import { type Digest, digestOf } from '@wherry/oci';
import { describe, expect, it } from 'vitest';
import type { BlobStore } from '../src/index.ts';
import { sha256, sha512 } from './test-client.ts';

/** What every store of blobs must do. */
export function blobStoreContract(
  name: string,
  create: (folder: string, resources: DisposalStack) => Promise<BlobStore>,
): void {
  describe(`${name} keeps blobs`, () => {
    const using = async (work: (store: BlobStore, file: (content: string) => Promise<string>) => Promise<void>) => {
      const folder = await mkdtemp(join(tmpdir(), 'wherry-blobs-'));
      const resources = new DisposalStack(silentLogger);
      try {
        let count = 0;
        await work(await create(folder, resources), async (content) => {
          const path = join(folder, `file-${count++}`);
          await writeFile(path, content);
          return path;
        });
      } finally {
        await resources[Symbol.asyncDispose]();
        await rm(folder, { recursive: true, force: true });
      }
    };
    const list = async (store: BlobStore): Promise<Digest[]> => {
      const found: Digest[] = [];
      for await (const digest of store.list()) found.push(digest);
      return found.sort();
    };

    it('by both algorithms', () =>
      using(async (store, file) => {
        for (const digest of [sha256('content'), sha512('content')] as Digest[]) {
          expect(await store.size(digest)).toBeUndefined();
          expect(await store.open(digest)).toBeUndefined();
          const path = await file('content');
          await store.adopt(path, digest);
          await expect(stat(path)).rejects.toThrow('ENOENT');
          expect(await store.size(digest)).toBe(7);
          const handle = await store.open(digest);
          expect(await handle!.readFile('utf8')).toBe('content');
          await handle!.close();
        }
        expect(await list(store)).toEqual([sha256('content'), sha512('content')].sort());
      }));

    it('once, however often they come', () =>
      using(async (store, file) => {
        const digest = digestOf('twice');
        const paths = await Promise.all([file('twice'), file('twice'), file('twice')]);
        await Promise.all(paths.map((path) => store.adopt(path, digest)));
        expect(await list(store)).toEqual([digest]);
        for (const path of paths) await expect(stat(path)).rejects.toThrow('ENOENT');
      }));

    it('readable for who has opened them when they are removed', () =>
      using(async (store, file) => {
        const digest = digestOf('removed');
        await store.adopt(await file('removed'), digest);
        const handle = await store.open(digest);
        await store.remove(digest);
        await store.remove(digest);
        expect(await store.size(digest)).toBeUndefined();
        expect(await list(store)).toEqual([]);
        expect(await handle!.readFile('utf8')).toBe('removed');
        await handle!.close();
      }));
  });
}
