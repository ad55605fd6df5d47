import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, silentLogger } from '@wherry/base';
import { afterAll, afterEach } from 'vitest';
import { type ImageStore, type ImageStoreOptions, openImageStore, type TarInput, writeTar } from '../src/index.ts';

const root = mkdtempSync(join(tmpdir(), 'wherry-images-'));
/** What a test mounted, to be unmounted when it ends. */
export const mounts: string[] = [];
afterEach(() => {
  for (const mount of mounts.splice(0)) execFileSync('umount', [mount]);
});
afterAll(() => rmSync(root, { recursive: true }));
let count = 0;

/** A path for one test of this file that nothing is at; all of them are removed at the end. */
export const fresh = (): string => join(root, `${count++}`);

/** A store that says nothing, in a folder of its own unless there is one. */
export const open = (options: Partial<ImageStoreOptions> = {}): Promise<ImageStore> =>
  openImageStore({ directory: fresh(), log: silentLogger, ...options });

/** What a store's folder has of images, whole or not, by its path there. */
export function contentOf(directory: string): string[] {
  return ['ingest', 'layers', 'blobs/sha256'].flatMap((place) => {
    const folder = join(directory, place);
    return existsSync(folder) ? readdirSync(folder).map((name) => join(place, name)) : [];
  });
}

/** Back-offs end at once. */
export const hastyClock: Clock = {
  now: () => 0,
  after(_ms, callback) {
    const timer = setImmediate(callback);
    return { [Symbol.dispose]: () => clearImmediate(timer) };
  },
};

/** Images of which no container is made. */
export const nobody = { inUse: () => undefined };

export const file = (name: string, content: string | Buffer = name): TarInput => ({
  ...{ name, type: 'file', mode: 0o644 },
  content: Buffer.from(content),
});

export const folder = (name: string, mode = 0o755): TarInput => ({ name, type: 'directory', mode });

export async function tarOf(entries: Iterable<TarInput>): Promise<Buffer> {
  return await bytesOf(writeTar(entries));
}

export async function bytesOf(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** In pieces that fit neither blocks nor files. */
export async function* stream(content: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < content.length; at += 50_000) yield content.subarray(at, at + 50_000);
}
