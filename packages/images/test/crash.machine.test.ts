import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createWriteStream, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { describe, expect, it } from 'vitest';
import { RealRegistry, realRegistry } from './real-registry.ts';
import { fresh, open } from './scratch.ts';

const made = (): string => {
  const directory = fresh();
  mkdirSync(directory);
  return directory;
};

const namesIn = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder) : []);

/** Runs the program until it has said `lines` lines, kills it there, and gives what it said. */
async function killedAfter(lines: number, ...args: string[]): Promise<string[]> {
  const program = new URL('crash-program.ts', import.meta.url).pathname;
  const run = new URL('../../../tools/run.mjs', import.meta.url).pathname;
  const child = spawn(process.execPath, [run, program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const said: string[] = [];
  const ended = new Promise((resolve) => child.once('exit', resolve));
  for await (const line of createInterface({ input: child.stdout })) {
    said.push(line);
    if (said.length === lines) child.kill('SIGKILL');
  }
  await ended;
  return said;
}

/** The id of the first image that `docker save` wrote into an archive. */
function digestOfArchive(archive: string): string {
  const list = execFileSync('tar', ['-xOf', archive, 'manifest.json']).toString();
  const entries = JSON.parse(list) as { Config: string; RepoTags: string[] }[];
  return `sha256:${entries.find(({ RepoTags }) => RepoTags.includes('loaded:0'))!.Config.split('/')[2]}`;
}

/** The names that must be there after a program said these lines: loaded, and not begun to be removed since. */
function acknowledged(said: readonly string[]): string[] {
  const names = new Set<string>();
  for (const line of said) {
    const [what, name] = line.split(' ') as [string, string | undefined];
    if (what === 'loaded') names.add(name!);
    if (what === 'removing') names.delete(`docker.io/library/${name}`);
  }
  return [...names];
}

/** Whatever a store shows is whole, and nothing is stored that nothing needs. */
async function checkWhole(directory: string): Promise<string[]> {
  const { needed, chains, names } = await lookAt(directory);
  // Only now: an open store may still be removing what the crash left.
  const blobs = namesIn(join(directory, 'blobs', 'sha256')).map((hex) => `sha256:${hex}`);
  expect(blobs.filter((digest) => !needed.has(digest))).toEqual([]);
  const layers = namesIn(join(directory, 'layers'));
  expect(layers.filter((name) => !name.startsWith('.'))).toHaveLength(chains.size);
  expect(layers.filter((name) => name.startsWith('.unpack'))).toEqual([]);
  expect(namesIn(join(directory, 'ingest'))).toEqual([]);
  expect(namesIn(join(directory, 'holds')).filter((name) => name.startsWith('.'))).toEqual([]);
  return names;
}

async function lookAt(directory: string): Promise<{ needed: Set<string>; chains: Set<string>; names: string[] }> {
  await using store = await open({ directory });
  // What was held when it ended is nobody's any more.
  await store.release('held');
  const summaries = await store.summaries();
  const needed = new Set<string>();
  for (const { id, names, layers, digests } of summaries) {
    const { lowerDirectories } = await store.rootfs(id, 'check');
    await store.release('check');
    const n = names[0]?.replace(/.*made:/, '');
    for (const folder of names[0]?.includes('made:') ? lowerDirectories : []) {
      expect(readdirSync(folder)).toHaveLength(50);
      for (let file = 0; file < 50; file++) {
        expect(readFileSync(join(folder, `f${file}`), 'utf8')).toBe(`${n}-${file} `.repeat(1000));
      }
    }
    // Every blob is there and is what its digest says.
    for await (const _ of store.save([id]));
    for (const digest of [id, (await store.find(id))!.manifest, ...digests.map((name) => name.split('@')[1]!)])
      needed.add(digest);
    for (const layer of layers) needed.add(layer.digest);
  }
  await store.collectGarbage();
  const chains = new Set(summaries.flatMap(({ layers }) => layers.map(({ chainId }) => chainId)));
  return { needed, chains, names: summaries.flatMap(({ names }) => names) };
}

describe('a store whose process is killed', () => {
  it('keeps every image that was acknowledged while layers are committed', async () => {
    for (const lines of [1, 3, 8]) {
      const directory = made();
      const said = await killedAfter(lines, 'commit', directory);
      const names = await checkWhole(directory);
      for (const name of said.slice(1)) expect(names).toContain(`docker.io/library/${name}`);
    }
  });

  it('has no half-removed image', async () => {
    for (const lines of [6, 7, 12]) {
      const directory = made();
      const said = await killedAfter(lines, 'remove', directory);
      const names = await checkWhole(directory);
      for (const line of said.filter((text) => text.startsWith('removed '))) {
        expect(names).not.toContain(`docker.io/library/${line.slice(8)}`);
      }
    }
  });

  it('has nothing half-loaded, and loads the same again', async () => {
    const large = randomBytes(3_000_000);
    const layers = Array.from({ length: 4 }, (_, n) => ({
      entries: Array.from({ length: 20 }, (_, file) => ({
        ...{ name: `l${n}/f${file}`, type: 'file' as const, mode: 0o644 },
        content: large.subarray(0, (n + 1) * 30_000),
      })),
    }));
    const archive = join(made(), 'archive.tar');
    {
      await using store = await open();
      await store.createImage({ config: { author: 'zero' }, layers, references: ['loaded:0'] });
      await store.createImage({ config: { author: 'one' }, layers: layers.slice(1), references: ['loaded:1'] });
      await pipeline(Readable.from(store.save(['loaded:0', 'loaded:1'])), createWriteStream(archive));
    }
    const id = digestOfArchive(archive);
    // Ten tenths of reading, then a line for each of 7 layers and 2 images, then the hold, removals and collection.
    const moments = [2, 11, 12, 15, 19, 20, 21, 22, 35];
    for (const lines of moments) {
      const directory = made();
      const said = await killedAfter(lines, 'load', directory, archive);
      const names = await checkWhole(directory);
      expect(names).toEqual(expect.arrayContaining(acknowledged(said)));
      await using again = await open({ directory });
      await again.load(archive);
      expect((await again.find('loaded:0'))?.id).toBe(id);
      const { lowerDirectories } = await again.rootfs('loaded:0', 'o');
      expect(lowerDirectories.map((folder) => readdirSync(folder))).toEqual([['l3'], ['l2'], ['l1'], ['l0']]);
      expect(readFileSync(join(lowerDirectories[0]!, 'l3/f19')).equals(large.subarray(0, 120_000))).toBe(true);
    }
  });

  it('sweeps files that were being replaced', async () => {
    const directory = made();
    {
      await using store = await open({ directory });
      await store.createImage({ config: {}, layers: [], references: ['a:1'] });
      await store.rootfs('a:1', 'owner');
    }
    const left = ['holds/.0123456789ab', 'images.jsonl.0123456789abcdef.tmp', 'ingest/half', 'layers/.unpack-half'];
    for (const name of left) writeFileSync(join(directory, name), 'half');
    await using store = await open({ directory });
    expect(left.filter((name) => existsSync(join(directory, name)))).toEqual([]);
    expect((await store.summaries()).flatMap(({ names }) => names)).toEqual(['docker.io/library/a:1']);
    expect(existsSync(join(directory, 'holds/owner'))).toBe(true);
  });

  it.skipIf(realRegistry === undefined)('goes on with the download where it was', async () => {
    await using registry = await RealRegistry.start({ directory: made() });
    await using store = await open();
    const name = `${registry.host}/large:1`;
    const content = Array.from({ length: 3 }, () => randomBytes(8_000_000));
    const layers = content.map((bytes, n) => ({
      entries: [{ name: `f${n}`, type: 'file' as const, mode: 0o644, content: bytes }],
    }));
    await store.createImage({ config: {}, layers, references: [name] });
    await store.push(name, {});
    const kept: number[] = [];
    for (const lines of [1, 5, 12, 40]) {
      const directory = made();
      await killedAfter(lines, 'pull', directory, name);
      await checkWhole(directory);
      await using again = await open({ directory });
      const before = new Map(
        namesIn(join(directory, 'partial')).map((partial) => [
          partial.replace('-', '/'),
          statSync(join(directory, 'partial', partial)).size,
        ]),
      );
      kept.push(...before.values());
      const first = new Map<string, number>();
      await again.pull(name, {
        onProgress: ({ digest, phase, current }) => {
          const blob = digest.replace(':', '/');
          if (phase === 'downloading' && !first.has(blob)) first.set(blob, current!);
        },
      });
      // What was there is not fetched again: the first news of a layer begins behind it, or there is nothing left to fetch.
      for (const [blob, size] of before) {
        const at = first.get(blob);
        if (at === undefined) expect(size).toBe(statSync(join(directory, 'blobs', blob)).size);
        else expect(at > size && at <= size + 1_000_000).toBe(true);
      }
      const { lowerDirectories } = await again.rootfs(name, 'o');
      expect(readFileSync(join(lowerDirectories[2]!, 'f0')).equals(content[0]!)).toBe(true);
      expect(namesIn(join(directory, 'partial'))).toEqual([]);
    }
    expect(kept.filter((size) => size > 0).length).toBeGreaterThan(0);
  });
});
