import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { openEmbeddedStore } from '../src/index.ts';
import { buildWriter, startWriter } from './writer-process.ts';

const root = mkdtempSync(join(tmpdir(), 'wherry-crash-'));
afterAll(() => rmSync(root, { recursive: true }));

it('has every acknowledged write after kill -9, round after round', async () => {
  const writer = buildWriter(join(root, 'program'));
  const directory = join(root, 'store');
  const acknowledged = new Map<string, number>();
  let revision = 0;
  for (const moment of [1, 40, 7, 150, 23, 311]) {
    const process_ = startWriter([process.execPath, writer, directory]);
    await process_.printed(moment);
    process_.child.kill('SIGKILL');
    await process_.closed;
    expect(process_.lines.length).toBeGreaterThanOrEqual(moment);

    await using store = await openEmbeddedStore({ directory, keepRevisions: 200 });
    const before = revision;
    for (const line of process_.lines) {
      const [lane, n, at] = line.split(' ').map(Number) as [number, number, number];
      expect(at).toBeGreaterThan(before);
      revision = Math.max(revision, at);
      acknowledged.set(`/entry/${lane}/${n}`, at);
    }
    const newest = await store.revision();
    expect(newest).toBeGreaterThanOrEqual(revision);
    const entries = new Map((await store.list('/entry/')).items.map((kv) => [kv.key, kv]));
    for (const [key, at] of acknowledged) expect(entries.get(key)?.modRevision).toBe(at);
    const revisions = [...entries.values()].map((kv) => kv.modRevision);
    for (let lane = 0; lane < 4; lane++) {
      const kv = await store.get(`/lane/${lane}`);
      if (kv) revisions.push(kv.modRevision);
    }
    // No change exists beyond the counter, and none twice.
    expect(new Set(revisions).size).toBe(revisions.length);
    expect(Math.max(...revisions)).toBeLessThanOrEqual(newest);
    revision = newest;
  }
});
