import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { logWriter } from './log-file.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'wherry-log-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

test('a log keeps within its bound, with one older part', () => {
  const path = join(folder, 'daemon.log');
  const file = openSync(path, 'a', 0o600);
  const write = logWriter(file, 1000);
  for (let line = 0; line < 100; line++) write(`${String(line).padStart(49, '0')}\n`);
  closeSync(file);
  expect(readdirSync(folder).sort()).toEqual(['daemon.log', 'daemon.log.1']);
  expect(readFileSync(path, 'utf8')).toBe('');
  expect(readFileSync(`${path}.1`, 'utf8').split('\n').map(Number)).toEqual(
    [...Array(20).keys()].map((n) => n + 80).concat(0),
  );
});

test('what was there when the writer began counts', () => {
  const path = join(folder, 'daemon.log');
  for (let round = 0; round < 3; round++) {
    const file = openSync(path, 'a', 0o600);
    logWriter(file, 1000)(`${'x'.repeat(399)}\n`);
    closeSync(file);
  }
  expect(readFileSync(path, 'utf8')).toBe('');
  expect(readFileSync(`${path}.1`, 'utf8')).toHaveLength(1200);
});

test('a closed file is no failure', () => {
  const file = openSync(join(folder, 'x'), 'a');
  const write = logWriter(file, 10);
  closeSync(file);
  expect(() => write('lost\n')).not.toThrow();
});
