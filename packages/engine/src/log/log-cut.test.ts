import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '@wherry/base';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { cutLog } from './log-cut.ts';
import { finishLog } from './rotated-log.ts';

let path: string;
beforeEach(() => {
  path = join(mkdtempSync(join(tmpdir(), 'wherry-log-')), 'log');
});
afterEach(() => rmSync(join(path, '..'), { recursive: true }));

const line = (number: number): string => `2026-11-22T12:10:10.123456789+00:00 stdout F ${'a'.repeat(30)} ${number}\n`;
const lines = (from: number, to: number): string =>
  Array.from({ length: to - from + 1 }, (_, index) => line(from + index)).join('');

test('the last lines stay that files of docker’s sizes would hold', async () => {
  writeFileSync(path, lines(100, 299));
  const { mtimeMs } = statSync(path);
  expect(await cutLog(path, { maxBytes: 1024, maxFiles: 2 }, 2)).toBe(2);
  expect(readFileSync(path, 'utf8')).toBe(lines(280, 299));
  expect(statSync(path).mtimeMs).toBeLessThan(mtimeMs);
});

test('what is within the limits stays as it is; a file that no line ends in, too', async () => {
  writeFileSync(path, lines(100, 119));
  const { ino } = statSync(path);
  expect(await cutLog(path, { maxBytes: 1024, maxFiles: 2 }, 2)).toBe(2);
  expect(await cutLog(path, { maxBytes: 1 << 20, maxFiles: 2 }, 2)).toBe(1);
  expect(statSync(path).ino).toBe(ino);
  writeFileSync(path, 'x'.repeat(5000));
  expect(await cutLog(path, { maxBytes: 1024, maxFiles: 2 }, 1)).toBe(0);
  expect(statSync(path).size).toBe(5000);
});

test('a burst far beyond the limits is cut at a line', async () => {
  writeFileSync(path, lines(100_000, 199_999));
  await cutLog(path, { maxBytes: 10_000, maxFiles: 3 }, 3);
  const left = readFileSync(path, 'utf8');
  expect(left.length).toBeLessThan(30_000);
  expect(left.length).toBeGreaterThan(15_000);
  const first = Number(/ (\d+)\n/.exec(left)?.[1]);
  expect(left).toBe(lines(first, 199_999));
});

test('a log whose new file was never made is cut, too', async () => {
  writeFileSync(`${path}.2`, lines(100, 109));
  writeFileSync(`${path}.1`, lines(110, 299));
  await finishLog(path, { maxBytes: 1024, maxFiles: 2 }, silentLogger);
  expect(readFileSync(`${path}.1`, 'utf8')).toBe(lines(280, 299));
  expect(() => statSync(`${path}.2`)).toThrow('ENOENT');
});

test('what a burst has left shares its room with what came after it', async () => {
  const limits = { maxBytes: 1024, maxFiles: 2 };
  writeFileSync(`${path}.1`, lines(280, 299));
  writeFileSync(path, '');
  await finishLog(path, limits, silentLogger, true);
  expect(readFileSync(`${path}.1`, 'utf8')).toBe(lines(280, 299));
  writeFileSync(path, lines(300, 302));
  await finishLog(path, limits, silentLogger, true);
  expect(readFileSync(path, 'utf8')).toBe(lines(300, 302));
  expect(readFileSync(`${path}.1`, 'utf8')).toBe(lines(290, 299));
});
