import { appendFile, mkdtemp, open, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { systemClock } from '@wherry/base';
import type { LogOptions } from '@wherry/runtime';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { logStream } from './log-stream.ts';
import { tailOffset } from './log-tail.ts';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wherry-log-'));
  path = join(folder, '0.log');
});
afterEach(() => rm(folder, { recursive: true }));

const at = (second: number): string => `2026-01-01T00:00:0${second}.000000000Z`;
const lines = [
  `${at(1)} stdout F one`,
  `${at(2)} stderr F two`,
  `${at(3)} stdout P thr`,
  `${at(3)} stdout F ee`,
  `${at(4)} stdout F `,
];
const none = new AbortController().signal;

const read = (options: LogOptions): Promise<string> =>
  text(logStream({ path, clock: systemClock, running: async () => false, ended: none }, options, none));

describe('a log', () => {
  beforeEach(() => writeFile(path, `${lines.join('\n')}\n`));

  it('is given whole, by stream, with times, from a time on, and cut', async () => {
    expect(await read({})).toBe('one\ntwo\nthree\n\n');
    expect(await read({ stream: 'Stderr' })).toBe('two\n');
    expect(await read({ timestamps: true })).toBe(`${at(1)} one\n${at(2)} two\n${at(3)} three\n${at(4)} \n`);
    expect(await read({ sinceTime: Date.parse(at(3)) })).toBe('three\n\n');
    expect(await read({ limitBytes: 5 })).toBe('one\nt');
  });

  it('is tailed by lines as the container wrote them', async () => {
    expect(await read({ tailLines: 0 })).toBe('');
    expect(await read({ tailLines: 1 })).toBe('\n');
    expect(await read({ tailLines: 2 })).toBe('three\n\n');
    expect(await read({ tailLines: 3 })).toBe('two\nthree\n\n');
    expect(await read({ tailLines: 99 })).toBe('one\ntwo\nthree\n\n');
  });

  it('passes over what is no log line', async () => {
    await appendFile(path, `torn\n${at(5)} stdout F after\n`);
    expect(await read({ tailLines: 2 })).toBe('after\n');
  });

  it('is empty when there is none yet', async () => {
    await rm(path);
    expect(await read({})).toBe('');
  });
});

it('finds the tail of a log of many blocks', async () => {
  const all = Array.from({ length: 30_000 }, (_, number) => `${at(1)} stdout F line ${number}`);
  await writeFile(path, `${all.join('\n')}\n`);
  const file = await open(path);
  try {
    for (const count of [1, 2_000, 29_999]) {
      const length = all.slice(-count).join('\n').length + 1;
      expect((await file.stat()).size - (await tailOffset(file, count))).toBe(length);
    }
  } finally {
    await file.close();
  }
});

it('follows writes and a rotation until the container ended', async () => {
  await writeFile(path, `${at(1)} stdout F one\n`);
  const ended = new AbortController();
  let runs = true;
  const source = { path, clock: systemClock, running: async () => runs, ended: ended.signal };
  const stream = logStream(source, { follow: true }, none);
  const seen: string[] = [];
  const done = (async () => {
    for await (const chunk of stream) {
      seen.push(String(chunk));
      if (seen.length === 1) await appendFile(path, `${at(2)} stdout F two\n`);
      if (seen.length === 2) {
        await rename(path, `${path}.old`);
        await writeFile(path, `${at(3)} stdout F three\n`);
      }
      if (seen.length === 3) {
        await appendFile(path, `${at(4)} stdout F last\n`);
        runs = false;
        ended.abort();
      }
    }
  })();
  await done;
  expect(seen.join('')).toBe('one\ntwo\nthree\nlast\n');
});
