import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '@wherry/base';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ContainerRecord } from './record.ts';
import { RecordStore } from './record-store.ts';

const id = 'a'.repeat(64);
let root: string;
let store: RecordStore;
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'wherry-records-'));
  store = new RecordStore(root, silentLogger);
  await store.make(id);
});
afterEach(() => rmSync(root, { recursive: true }));

const record = (name: string): ContainerRecord => ({ version: 1, id, name }) as ContainerRecord;
const save = (name: string, durable: boolean): Promise<void> => store.save(record(name), { durable });
const reopened = (): RecordStore => new RecordStore(root, silentLogger);
const names = async (): Promise<string[]> => (await reopened().load()).map(({ name }) => name);

test('the last save is what is read, synced or not', async () => {
  await save('one', true);
  await save('two', false);
  expect(await names()).toEqual(['two']);
  await save('three', true);
  expect(await names()).toEqual(['three']);
  // Counting goes on where the former daemon ended.
  store = reopened();
  await store.load();
  await save('four', false);
  expect(await names()).toEqual(['four']);
});

test('saves at the same time: the last one stays, and is synced if one of them was to be', async () => {
  await Promise.all([save('one', true), save('two', false), save('three', false)]);
  expect(await names()).toEqual(['three']);
  rmSync(join(root, id, 'container.latest.json'), { force: true });
  expect(await names()).toEqual(['three']);
});

test('what a power cut leaves of an unsynced save counts for nothing', async () => {
  await save('synced', true);
  await save('later', false);
  const latest = join(root, id, 'container.latest.json');
  for (const length of [20, 0]) {
    truncateSync(latest, length);
    expect(await names()).toEqual(['synced']);
  }
});

test('one that was never synced is gone with a power cut, with its folder', async () => {
  await save('unsynced', false);
  truncateSync(join(root, id, 'container.latest.json'), 0);
  expect(await names()).toEqual([]);
  expect(readdirSync(root)).toEqual([]);
});

test('a record that cannot be read stays for a person to look at; what a kill left of a write goes', async () => {
  await save('one', true);
  writeFileSync(join(root, id, 'container.json.1234abcd.tmp'), '{"ver');
  expect(await names()).toEqual(['one']);
  expect(readdirSync(join(root, id))).toEqual(['container.json']);
  writeFileSync(join(root, id, 'container.json'), '{"version":2}');
  expect(await names()).toEqual([]);
  expect(readdirSync(join(root, id))).toEqual(['container.json']);
});

test('health is kept beside the record and goes with it', async () => {
  expect(await store.health(id)).toBeUndefined();
  const health = { Status: 'healthy', FailingStreak: 0, Log: [] } as const;
  await save('one', true);
  await store.saveHealth(id, health);
  expect(await reopened().health(id)).toEqual(health);
  await store.remove(id);
  expect(readdirSync(root)).toEqual([]);
});
