import { chmodSync, lstatSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { applyGroup } from './ownership.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'wherry-own-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

test('gives all of a volume to the group and nothing outside of it', async () => {
  const [volume, outside] = [join(folder, 'volume'), join(folder, 'outside')];
  mkdirSync(join(volume, 'a/b'), { recursive: true });
  writeFileSync(join(volume, 'a/b/f'), '');
  chmodSync(join(volume, 'a/b/f'), 0o4700);
  writeFileSync(outside, '', { mode: 0o600 });
  symlinkSync(outside, join(volume, 'link'));
  await applyGroup(volume, 4242);
  for (const path of ['.', 'a', 'a/b']) {
    expect(statSync(join(volume, path))).toMatchObject({
      gid: 4242,
      mode: expect.toSatisfy((m: number) => (m & 0o2070) === 0o2070),
    });
  }
  expect(statSync(join(volume, 'a/b/f'))).toMatchObject({ gid: 4242, mode: 0o104760 });
  expect(lstatSync(join(volume, 'link')).gid).toBe(4242);
  expect(statSync(outside)).toMatchObject({ gid: 0, mode: 0o100600 });
});

test('a tree of no end is refused', async () => {
  mkdirSync(join(folder, 'd/'.repeat(600)), { recursive: true });
  await expect(applyGroup(folder, 4242)).rejects.toMatchObject({ code: 'invalid' });
});
