import { appendFile, mkdtemp, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { deferred } from '@wherry/base';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { logEntries } from './log-batch.ts';
import { framedLog, type LogStyle, plainLog } from './log-output.ts';
import { type ReadLogOptions, readLog } from './log-reader.ts';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wherry-log-'));
  path = join(folder, 'container.log');
});
afterEach(() => rm(folder, { recursive: true }));

const time = (second: number): string => new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString().slice(0, 19);
const line = (second: number, text: string, stream = 'stdout', tag = 'F'): string =>
  `${time(second)}.123456789+00:00 ${stream} ${tag} ${text}\n`;
const at = (second: number): number => Date.parse(`${time(second)}Z`);
const both = { stdout: true, stderr: true };

const plain = async (options: Partial<ReadLogOptions> = {}, style?: LogStyle): Promise<string> =>
  (await buffer(plainLog(readLog(path, { ...both, ...options }), style))).toString();

/** Takes docker's frames apart. */
async function frames(options: Partial<ReadLogOptions> = {}, style?: LogStyle): Promise<[number, string][]> {
  const bytes = await buffer(framedLog(readLog(path, { ...both, ...options }), style));
  const found: [number, string][] = [];
  for (let start = 0; start < bytes.length; ) {
    const end = start + 8 + bytes.readUInt32BE(start + 4);
    expect(bytes.subarray(start + 1, start + 4)).toEqual(Buffer.alloc(3));
    found.push([bytes[start]!, bytes.toString('utf8', start + 8, end)]);
    start = end;
  }
  return found;
}

describe('a log', () => {
  beforeEach(() =>
    writeFile(
      path,
      line(1, 'one') + line(2, 'two', 'stderr') + line(3, 'thr', 'stdout', 'P') + line(3, 'ee') + line(4, ''),
    ),
  );

  it('has successive lines of a stream in one frame when they are joined', async () => {
    expect(await frames({}, { joined: true })).toEqual([
      [1, 'one\n'],
      [2, 'two\n'],
      [1, 'three\n\n'],
    ]);
    const [, , last] = await frames({}, { joined: true, timestamps: true });
    expect(last?.[1]).toMatch(/^\S+Z three\n\S+Z \n$/);
  });

  it('is given in frames, one for each line', async () => {
    expect(await frames()).toEqual([
      [1, 'one\n'],
      [2, 'two\n'],
      [1, 'three\n'],
      [1, '\n'],
    ]);
    expect(await frames({ stdout: false })).toEqual([[2, 'two\n']]);
    expect(await plain({ stderr: false })).toBe('one\nthree\n\n');
  });

  it('has a time and details where a line begins', async () => {
    const stamp = (second: number): string => `${time(second)}.123456789Z `;
    expect(await frames({ tail: 2 }, { timestamps: true, details: 'a=b,ä ' })).toEqual([
      [1, `${stamp(3)}a=b,ä three\n`],
      [1, `${stamp(4)}a=b,ä \n`],
    ]);
    expect(await plain({ tail: 1 }, { timestamps: true })).toBe(`${stamp(4)}\n`);
  });

  it('is given as entries, too', async () => {
    const entries = [];
    for await (const batch of readLog(path, { ...both, tail: 2 })) entries.push(...logEntries(batch));
    expect(entries.map(({ content, ...entry }) => ({ ...entry, content: String(content) }))).toEqual([
      { stream: 'stdout', time: `${time(3)}.123456789+00:00`, partial: true, content: 'thr' },
      { stream: 'stdout', time: `${time(3)}.123456789+00:00`, partial: false, content: 'ee\n' },
      { stream: 'stdout', time: `${time(4)}.123456789+00:00`, partial: false, content: '\n' },
    ]);
  });

  it('begins and ends at a time', async () => {
    expect(await plain({ since: at(3) })).toBe('three\n\n');
    expect(await plain({ until: at(3) })).toBe('one\ntwo\n');
    expect(await plain({ since: at(2), until: at(3) })).toBe('two\n');
    expect(await plain({ since: at(1) + 123.458 })).toBe('two\nthree\n\n');
    // The tail is counted first.
    expect(await plain({ tail: 1, until: at(3) })).toBe('');
  });

  it('is tailed by lines as the container wrote them', async () => {
    expect(await plain({ tail: 0 })).toBe('');
    expect(await plain({ tail: 1 })).toBe('\n');
    expect(await plain({ tail: 2 })).toBe('three\n\n');
    expect(await plain({ tail: 3 })).toBe('two\nthree\n\n');
    expect(await plain({ tail: 99 })).toBe('one\ntwo\nthree\n\n');
  });
});

it('writes times of other zones in UTC, and odd ones as they are', async () => {
  await writeFile(
    path,
    '2026-01-01T01:30:00.000000001+01:30 stdout F a\n2025-12-31T19:00:00.5-05:00 stderr F b\n2026-01-01T00:00:00.12Z stdout F c\n',
  );
  expect(await plain({}, { timestamps: true })).toBe(
    '2026-01-01T00:00:00.000000001Z a\n2025-12-31T19:00:00.5-05:00 b\n2026-01-01T00:00:00.12Z c\n',
  );
  expect(await plain({ since: at(0), until: at(0) + 0.2 })).toBe('a\n');
});

it('counts a line where it ends when both streams write at once', async () => {
  const parts = [
    line(1, 'first'),
    line(2, 'a', 'stdout', 'P'),
    line(2, 'err', 'stderr'),
    line(2, 'b', 'stdout', 'P'),
    line(2, 'err2', 'stderr'),
    line(3, 'c'),
  ];
  await writeFile(path, parts.join(''));
  expect(await plain({ tail: 1 })).toBe('abc\n');
  expect(await plain({ tail: 2 })).toBe('aberr2\nc\n');
  await writeFile(path, line(1, 'old') + line(2, 'open', 'stdout', 'P') + line(3, 'err', 'stderr'));
  expect(await frames({ tail: 2 })).toEqual([
    [1, 'open'],
    [2, 'err\n'],
  ]);
});

describe('what is no log line', () => {
  it.each([
    ['torn', 'torn\n'],
    ['a torn time', '2026-01-01T00\n'],
    ['a torn head', `${time(1)}.123456789+00:00 stdo\n`],
    ['a head alone', `${time(1)}.123456789+00:00 stdout\n`],
    ['another stream', `${time(1)}.123456789+00:00 stdlog F x\n`],
    ['an empty line', '\n'],
    ['bytes', `${Buffer.from([0, 255, 254, 32, 32]).toString('latin1')}\n`],
  ])('is passed over: %s', async (_what, text) => {
    await writeFile(path, text + line(1, 'a') + text + line(2, 'b') + text.slice(0, -1));
    expect(await plain()).toBe('a\nb\n');
    expect(await plain({ since: at(2) })).toBe('b\n');
    // It counts as a line.
    expect(await plain({ tail: 2 })).toBe('b\n');
  });

  it('may have more tags, or no space before nothing', async () => {
    await writeFile(path, `${time(1)}.123456789+00:00 stdout P:x a\n${time(1)}.123456789+00:00 stdout F\n`);
    expect(await plain()).toBe('a\n');
  });

  it('may be endless', async () => {
    await writeFile(path, `${line(1, 'a')}${'x'.repeat(3 << 20)}\n${line(2, 'b')}`);
    expect(await plain()).toBe('a\nb\n');
    expect(await plain({ tail: 3 })).toBe('a\nb\n');
  });
});

it('is empty when there is none', async () => {
  expect(await plain()).toBe('');
  expect(await plain({ tail: 3 })).toBe('');
  expect(await plain({ since: 1 })).toBe('');
});

describe('a log of many blocks', () => {
  const count = 15_000;
  const text = (number: number): string => `line ${number} ${'x'.repeat(number % 100)}`;
  const from = (first: number): string =>
    Array.from({ length: count - first }, (_, at) => `${text(first + at)}\n`).join('');
  const write = (first: number, last: number, name: string): Promise<void> =>
    writeFile(name, Array.from({ length: last - first }, (_, at) => line(first + at, text(first + at))).join(''));
  beforeEach(async () => {
    await write(0, 1, `${path}.4`);
    await write(1, 5_000, `${path}.3`);
    await write(5_000, 12_000, `${path}.2`);
    await writeFile(`${path}.1`, '');
    await write(12_000, count, path);
  });

  it('is read whole', async () => {
    expect(await plain()).toBe(from(0));
    expect((await frames()).length).toBe(count);
  });

  it('is tailed across its files', async () => {
    for (const tail of [1, 2_999, 3_000, 3_001, 11_000, 14_999]) expect(await plain({ tail })).toBe(from(count - tail));
  });

  it('is entered at a time by halves', async () => {
    for (const first of [0, 1, 2, 777, 4_999, 5_000, 5_001, 11_999, 12_000, 13_333, 14_999])
      expect(await plain({ since: at(first) })).toBe(from(first));
    expect(await plain({ since: at(count) })).toBe('');
  });

  it('gives up what it holds when nobody reads on', async () => {
    for await (const batch of readLog(path, both)) {
      expect(batch.count).toBeGreaterThan(0);
      break;
    }
  });
});

describe('following', () => {
  /** Reads a log; `next` gives what comes when something comes. */
  function follow(options: Partial<ReadLogOptions> = {}) {
    const ended = deferred();
    const stop = new AbortController();
    const all = readLog(path, { ...both, follow: true, ended: ended.promise, signal: stop.signal, ...options });
    const texts = plainLog(all);
    const until = async (wanted: string): Promise<string> => {
      let seen = '';
      while (!seen.endsWith(wanted)) {
        const next = await texts.next();
        if (next.done) break;
        seen += next.value;
      }
      return seen;
    };
    return { end: () => ended.resolve(), stop, until, rest: async () => (await buffer(texts)).toString(), texts };
  }

  it('gives what is written, and ends once all is read', async () => {
    const log = follow();
    const first = log.until('b\n');
    await writeFile(path, line(1, 'a'));
    await appendFile(path, line(2, 'b'));
    expect(await first).toBe('a\nb\n');
    const half = line(3, 'c');
    await appendFile(path, half.slice(0, 20));
    await appendFile(path, half.slice(20) + line(4, 'd'));
    log.end();
    expect(await log.rest()).toBe('c\nd\n');
  });

  it('loses nothing and doubles nothing when the log is rotated', async () => {
    await writeFile(path, line(1, 'a'));
    const log = follow();
    expect(await log.until('a\n')).toBe('a\n');
    await appendFile(path, line(2, 'b'));
    await rename(path, `${path}.1`);
    await appendFile(`${path}.1`, line(3, 'c'));
    await writeFile(path, line(4, 'd'));
    // And once more before anybody looked.
    await rename(`${path}.1`, `${path}.2`);
    await rename(path, `${path}.1`);
    await writeFile(path, line(5, 'e'));
    expect(await log.until('e\n')).toBe('b\nc\nd\ne\n');
    await rename(`${path}.1`, `${path}.2`);
    await rename(path, `${path}.1`);
    await writeFile(path, line(6, 'f'));
    expect(await log.until('f\n')).toBe('f\n');
    // What comes next is there alone when somebody looks.
    await Promise.all([1, 2].map((number) => rm(`${path}.${number}`)));
    await writeFile(`${path}.new`, line(7, 'g'));
    await rename(`${path}.new`, path);
    expect(await log.until('g\n')).toBe('g\n');
    log.end();
    expect(await log.rest()).toBe('');
  });

  it('begins with the last lines and goes on after a truncation', async () => {
    await writeFile(path, line(1, 'a') + line(2, 'b'));
    const log = follow({ tail: 1 });
    expect(await log.until('b\n')).toBe('b\n');
    await truncate(path, 0);
    await appendFile(path, line(3, 'c'));
    expect(await log.until('c\n')).toBe('c\n');
    log.end();
    expect(await log.rest()).toBe('');
  });

  it('ends at a later line, at once when the time is over, and with the signal', async () => {
    await writeFile(path, line(1, 'a') + line(9, 'b'));
    expect(await follow({ until: at(5) }).rest()).toBe('a\n');
    expect(await follow({ until: at(20) }).rest()).toBe('a\nb\n');
    const log = follow({ tail: 0 });
    const rest = log.rest();
    log.stop.abort();
    expect(await rest).toBe('');
  });
});
