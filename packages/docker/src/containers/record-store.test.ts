import { appendFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '@wherry/base';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ContainerRecord } from './record.ts';
import { RecordStore } from './record-store.ts';

const id = 'a'.repeat(64);
let folder: string;
let store: RecordStore;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'wherry-records-'));
  store = await open();
  await store.make(id);
});
afterEach(async () => {
  await store[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

const open = (): Promise<RecordStore> => RecordStore.open(join(folder, 'containers'), silentLogger);
const journal = (): string => join(folder, 'containers.journal');
const record = (name: string): ContainerRecord => ({ version: 1, id, name }) as ContainerRecord;
const save = (name: string, durable = false): Promise<void> => store.save(record(name), { durable });

/** Names that a daemon would find that was started now: the one before is not asked. */
async function found(): Promise<string[]> {
  await using next = await open();
  return next.all().map(({ name }) => name);
}

test('the last save is what is found after a kill, however many come at once', async () => {
  await save('one', true);
  await save('two');
  expect(await found()).toEqual(['two']);
  await Promise.all([save('three', true), save('four'), save('five', true)]);
  expect(await found()).toEqual(['five']);
});

test('a power cut takes the end of the journal, and leaves what was synced', async () => {
  await save('synced', true);
  const whole = readFileSync(journal());
  await save('later');
  const after = readFileSync(journal());
  for (let length = whole.length; length < after.length; length += 7) {
    // What reached the disk, and zeros where only the new size did.
    writeFileSync(journal(), Buffer.concat([after.subarray(0, length), Buffer.alloc(11)]));
    expect(await found()).toEqual(['synced']);
  }
});

test('what is removed is gone, whoever would still save it', async () => {
  await save('one', true);
  const late = [store.remove(id), save('late'), store.saveHealth(id, { Status: 'healthy', FailingStreak: 0, Log: [] })];
  await Promise.all(late);
  await save('later');
  expect(await found()).toEqual([]);
  expect(readdirSync(join(folder, 'containers'))).toEqual([]);
});

test('a kill leaves no folder without a record, and nothing half written', async () => {
  expect(await found()).toEqual([]);
  expect(readdirSync(join(folder, 'containers'))).toEqual([]);
  mkdirSync(join(folder, 'containers', id));
  writeFileSync(join(folder, 'containers', id, 'health.json.1234abcd.tmp'), '{"ver');
  await save('one');
  expect(await found()).toEqual(['one']);
  expect(readdirSync(join(folder, 'containers', id))).toEqual([]);
});

test('a folder whose record may be one that cannot be read stays until that is taken away', async () => {
  await save('one');
  const good = readFileSync(journal(), 'utf8');
  writeFileSync(journal(), good.replace('"name":"one"', '"name":\0'));
  expect(await found()).toEqual([]);
  const [unreadable, folders] = [`${journal()}.unreadable`, () => readdirSync(join(folder, 'containers'))];
  expect(folders()).toEqual([id]);
  // Mended, and put back.
  appendFileSync(journal(), readFileSync(unreadable, 'utf8').replace('"name":\0', '"name":"one"'));
  expect(await found()).toEqual(['one']);
  writeFileSync(journal(), good.slice(0, good.indexOf('\n') + 1));
  expect(await found()).toEqual([]);
  expect(folders()).toEqual([id]);
  rmSync(unreadable);
  expect(await found()).toEqual([]);
  expect(folders()).toEqual([]);
});

test('health is kept beside the record', async () => {
  expect(await store.health(id)).toBeUndefined();
  const health = { Status: 'healthy', FailingStreak: 0, Log: [] } as const;
  await save('one');
  await store.saveHealth(id, health);
  await using next = await open();
  expect(await next.health(id)).toEqual(health);
});

test('nothing is written when the daemon has let go', async () => {
  await save('one');
  await store[Symbol.asyncDispose]();
  await save('two');
  expect(await found()).toEqual(['one']);
});
