import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger, systemClock, systemRandom } from '@wherry/base';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openNamedVolumes } from './local-volumes.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'wherry-volumes-'));
});
afterEach(() => rmSync(root, { recursive: true }));

const open = () => openNamedVolumes({ root, clock: systemClock, random: systemRandom, log: silentLogger });
function write(name: string, content: string): string {
  const folder = join(root, 'volumes', name);
  mkdirSync(join(folder, '_data'), { recursive: true });
  writeFileSync(join(folder, '_data', 'kept'), 'data');
  writeFileSync(join(folder, 'volume.json'), content);
  return join(folder, 'volume.json');
}

test('a record that cannot be read costs its volume alone, whose data stays', async () => {
  for (const [at, content] of ['', '{"version":1,', '\0\0', 'null'].entries()) write(`torn${at}`, content);
  const whole = { version: 1, createdAt: 0, options: {}, labels: {}, anonymous: false, users: [], mountedBy: [] };
  write('whole', JSON.stringify({ ...whole, filling: false }));
  await using volumes = await open();
  expect(volumes.list().map(({ name }) => name)).toEqual(['whole']);
  expect(readFileSync(join(root, 'volumes', 'torn1', '_data', 'kept'), 'utf8')).toBe('data');
});

test('a record of a later version is named and left as it is', async () => {
  const path = write('later', '{"version":2}');
  await expect(open()).rejects.toMatchObject({
    code: 'unsupported',
    message: `${path} has version 2, and this Wherry reads version 1: start the one that wrote it`,
  });
  expect(readFileSync(path, 'utf8')).toBe('{"version":2}');
});
