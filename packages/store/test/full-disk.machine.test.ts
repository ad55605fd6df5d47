import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { buildWriter, startWriter } from './writer-process.ts';

const root = mkdtempSync(join(tmpdir(), 'wherry-full-'));
afterAll(() => rmSync(root, { recursive: true }));

it('says that the disk is full and loses nothing', async () => {
  const program = buildWriter(join(root, 'program'));
  // A disk of four megabytes in a mount namespace of its own, which ends with the process.
  const script =
    'mkdir "$1/disk" && mount -t tmpfs -o size=4m none "$1/disk" && head -c 500000 /dev/zero > "$1/disk/filler" && exec "$2" "$3" "$1/disk/store" 4000 "$1/disk/filler"';
  const writer = startWriter([
    'unshare',
    '--mount',
    '--propagation',
    'private',
    'sh',
    '-c',
    script,
    'sh',
    root,
    process.execPath,
    program,
  ]);
  await writer.closed;
  const failure = writer.lines.findIndex((line) => line.startsWith('failed'));
  expect(writer.lines[failure]).toMatch(/^failed exhausted .*data\.mdb is full$/);
  const [, revision, , entries] = writer.lines[failure + 1]!.split(' ');
  const acknowledged = writer.lines.slice(0, failure);
  expect(acknowledged.length).toBeGreaterThan(50);
  expect(Number(entries)).toBeGreaterThanOrEqual(acknowledged.length);
  expect(Number(revision)).toBeGreaterThanOrEqual(Number(acknowledged.at(-1)!.split(' ')[2]));
  expect(writer.lines.at(-1)).toBe('after true');
});
