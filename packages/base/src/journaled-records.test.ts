import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { codeOf } from './errors.ts';
import { JournaledRecords } from './journaled-records.ts';
import { silentLogger } from './log.ts';

interface Thing {
  readonly version: 1;
  readonly id: string;
  readonly text: string;
}

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'wherry-records-'));
  path = join(folder, 'things.journal');
});
afterEach(() => rmSync(folder, { recursive: true }));

const open = (): Promise<JournaledRecords<Thing>> => JournaledRecords.open<Thing>(path, silentLogger);
const thing = (id: string, text: string): Thing => ({ version: 1, id, text });
const texts = (store: JournaledRecords<Thing>): string[] => store.all().map(({ id, text }) => `${id}:${text}`);

/** What a daemon would find that was started now: the one before is not asked. */
async function found(): Promise<string[]> {
  await using store = await open();
  return texts(store);
}

test('what was put, noted and deleted is found after a kill, in the order of the calls', async () => {
  await using store = await open();
  expect(texts(store)).toEqual([]);
  await Promise.all([
    store.put(thing('a', '1')),
    store.put(thing('b', '1')),
    store.note(thing('a', '2')),
    store.delete('b'),
    store.put(thing('c', '1')),
    store.put(thing('a', '3')),
  ]);
  expect(texts(store)).toEqual(['a:3', 'c:1']);
  expect(await found()).toEqual(['a:3', 'c:1']);
});

test('a line torn at the end is dropped, and the next stands whole', async () => {
  await using store = await open();
  await store.put(thing('a', '1'));
  appendFileSync(path, '{"put":{"version":1,"id":"b","te');
  {
    await using next = await open();
    expect(texts(next)).toEqual(['a:1']);
    await next.put(thing('c', '1'));
  }
  expect(await found()).toEqual(['a:1', 'c:1']);
});

test('a line torn in the middle costs its record only', async () => {
  {
    await using store = await open();
    for (const id of ['a', 'b', 'c']) await store.put(thing(id, '1'));
  }
  writeFileSync(path, readFileSync(path, 'utf8').replace('"id":"b"', '"id":\0\0\0'));
  expect(await found()).toEqual(['a:1', 'c:1']);
  expect(readFileSync(`${path}.unreadable`, 'utf8')).toContain('"id":\0\0\0');
  expect(readFileSync(path, 'utf8')).not.toContain('\0');
  // Once: it is not found again.
  const before = readFileSync(`${path}.unreadable`);
  expect(await found()).toEqual(['a:1', 'c:1']);
  expect(readFileSync(`${path}.unreadable`)).toEqual(before);
});

test.each([
  ['garbage', (text: string) => text.replace(/^.*/, '\0\0\0')],
  ['no header', (text: string) => text.slice(text.indexOf('\n') + 1)],
  ['a header and a record as one line', (text: string) => text.replace('\n', '')],
])('records behind %s in the first line are found', async (_, broken) => {
  {
    await using store = await open();
    expect(store.unreadable).toBeUndefined();
    for (const id of ['a', 'b', 'c']) await store.put(thing(id, '1'));
    await store.delete('b');
  }
  const text = broken(readFileSync(path, 'utf8'));
  writeFileSync(path, text);
  const rest = await found();
  expect(rest).toEqual(text.includes('}{') ? ['c:1'] : ['a:1', 'c:1']);
  expect(readFileSync(path, 'utf8')).toMatch(/^\{"version":1\}\n/);
  expect(await found()).toEqual(rest);
  expect(existsSync(`${path}.unreadable`)).toBe(!text.startsWith('{"put"'));
});

test('a file without any line is put aside whole, which is known until it is taken away', async () => {
  writeFileSync(path, '\0\0\0\0');
  {
    await using store = await open();
    expect(texts(store)).toEqual([]);
    expect(readFileSync(store.unreadable!, 'utf8')).toBe('\0\0\0\0\n');
    await store.put(thing('a', '1'));
  }
  {
    await using store = await open();
    expect(texts(store)).toEqual(['a:1']);
    expect(store.unreadable).toBe(`${path}.unreadable`);
  }
  rmSync(`${path}.unreadable`);
  await using store = await open();
  expect(store.unreadable).toBeUndefined();
});

test('a first line torn by a kill is begun anew', async () => {
  for (const torn of ['', '{"ver', '{"version":1}']) {
    writeFileSync(path, torn);
    {
      await using store = await open();
      await store.put(thing('a', '1'));
    }
    expect(await found()).toEqual(['a:1']);
  }
});

test('it is rewritten when it has grown, with what is there then', async () => {
  await using store = await open();
  const long = 'x'.repeat(100_000);
  await store.put(thing('kept', long));
  let biggest = 0;
  for (let round = 0; round < 40; round++) {
    await store.put(thing('again', `${round}${long}`));
    biggest = Math.max(biggest, statSync(path).size);
  }
  expect(biggest).toBeGreaterThan(1_000_000);
  expect(biggest).toBeLessThan(1_300_000);
  await store.put(thing('last', '1'));
  expect(await found()).toEqual([`kept:${long}`, `again:39${long}`, 'last:1']);
});

test('a rewrite that was cut off leaves nothing', async () => {
  writeFileSync(`${path}.0123.tmp`, 'half');
  writeFileSync(join(folder, 'other.tmp'), '');
  await using _ = await open();
  expect(readdirSync(folder).sort()).toEqual(['other.tmp', 'things.journal']);
});

test.each([
  ['{"version":2}\n{}\n', 'unsupported', 'things.journal has version 2, and this Wherry reads version 1'],
  ['{"version":1}\n{"put":{"id":"a","version":7}}\n', 'unsupported', 'the record a in .*things.journal has version 7'],
  [
    '{"version":1}\nx\n{"put":{"id":"a","version":2}}\n',
    'unsupported',
    'the record a in .*things.journal has version 2',
  ],
])('a file of another version is not touched: %j', async (content, code, words) => {
  writeFileSync(path, content);
  const error = await open().catch((caught: unknown) => caught as Error);
  expect(codeOf(error)).toBe(code);
  expect((error as Error).message).toMatch(new RegExp(words));
  expect(readFileSync(path, 'utf8')).toBe(content);
  expect(readdirSync(folder)).toEqual(['things.journal']);
});
