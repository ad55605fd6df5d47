import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { AnticipatedMove } from './anticipated-move.ts';

test('writes this process where it is, once at a time, and takes no refusal ill', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'wherry-cgroup-'));
  const procs = join(folder, 'cgroup.procs');
  const move = new AnticipatedMove(procs);
  writeFileSync(procs, '');
  await move.begin();
  writeFileSync(procs, '');
  const first = move.begin();
  expect(move.begin()).toBe(first);
  await first;
  expect(readFileSync(procs, 'utf8')).toBe(String(process.pid));
  expect(move.begin()).not.toBe(first);
  await move.begin();
  rmSync(folder, { recursive: true });
  await move.begin();
});
