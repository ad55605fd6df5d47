import { lstat, mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VirtualClock } from '@wherry/base';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeVolumeAtomically } from './atomic-writer.ts';
import type { Payload } from './payload.ts';

let folder: string;
const clock = new VirtualClock();
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wherry-volume-'));
});
afterEach(() => rm(folder, { recursive: true }));

const files = (content: Record<string, string>, mode = 0o644): Payload =>
  new Map(Object.entries(content).map(([path, text]) => [path, { content: Buffer.from(text), mode }]));

describe('writeVolumeAtomically', () => {
  it('lays files out behind ..data', async () => {
    expect(await writeVolumeAtomically(folder, files({ a: '1', 'sub/b': '2' }, 0o400), { clock })).toBe(true);
    const names = (await readdir(folder)).sort();
    expect(names.map((name) => name.replace(/^\.\.2026_01_01_00_00_00\..{6}$/, 'DATE'))).toEqual(
      ['DATE', '..data', 'a', 'sub'].sort((a, b) => (a === 'DATE' ? -1 : b === 'DATE' ? 1 : a < b ? -1 : 1)),
    );
    expect(await readlink(join(folder, 'sub'))).toBe('..data/sub');
    expect(await readFile(join(folder, 'sub/b'), 'utf8')).toBe('2');
    expect((await lstat(join(folder, '..data/a'))).mode & 0o777).toBe(0o400);
  });

  it('replaces everything at once and leaves no old data', async () => {
    await writeVolumeAtomically(folder, files({ a: '1', gone: 'x' }), { clock });
    const before = await readlink(join(folder, '..data'));
    expect(await writeVolumeAtomically(folder, files({ a: '2', fresh: 'y' }), { clock })).toBe(true);
    expect(await readlink(join(folder, '..data'))).not.toBe(before);
    expect((await readdir(folder)).filter((name) => !name.startsWith('..')).sort()).toEqual(['a', 'fresh']);
    expect((await readdir(folder)).filter((name) => name.startsWith('..2'))).toHaveLength(1);
    expect(await readFile(join(folder, 'a'), 'utf8')).toBe('2');
  });

  it('writes nothing when nothing changed', async () => {
    await writeVolumeAtomically(folder, files({ a: '1' }), { clock });
    const before = await readlink(join(folder, '..data'));
    expect(await writeVolumeAtomically(folder, files({ a: '1' }), { clock })).toBe(false);
    expect(await readlink(join(folder, '..data'))).toBe(before);
  });

  it('makes an empty volume', async () => {
    expect(await writeVolumeAtomically(folder, new Map(), { clock })).toBe(true);
    expect(await readdir(join(folder, '..data'))).toEqual([]);
  });

  it.each(['../x', '/etc/x', 'a/../../x', '..data/x', ''])('refuses the path %j', async (path) => {
    await expect(writeVolumeAtomically(folder, files({ [path]: '' }), { clock })).rejects.toMatchObject({
      code: 'invalid',
    });
    expect(await readdir(folder)).toEqual([]);
  });
});
