import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOf } from '@wherry/oci';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Holds } from './holds.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'wherry-holds-'));
  mkdirSync(join(folder, 'holds'));
});
afterEach(() => rmSync(folder, { recursive: true }));

test('holds of before they had a version count, torn ones do not, later ones are left as they are', async () => {
  const path = (owner: string): string => join(folder, 'holds', owner);
  writeFileSync(path('before'), '{"layers":[]}');
  for (const [at, content] of ['', '{"layers":[', '\0', 'null', '{}'].entries())
    writeFileSync(path(`torn${at}`), content);
  const holds = new Holds(folder);
  expect(await holds.list()).toEqual([{ layers: [] }]);
  await holds.set('new', { layers: [] });
  expect(JSON.parse(readFileSync(path('new'), 'utf8'))).toEqual({ version: 1, layers: [] });
  expect(await new Holds(folder).list()).toEqual([{ layers: [] }, { layers: [] }]);
  writeFileSync(path('later'), '{"version":2,"layers":[]}');
  await expect(new Holds(folder).list()).rejects.toMatchObject({
    code: 'unsupported',
    message: `${path('later')} has version 2, and this Wherry reads version 1: start the one that wrote it`,
  });
});

test('what an owner holds is what owners of its parts hold, too', async () => {
  const holds = new Holds(folder);
  const [one, two] = [digestOf(Buffer.from('1')), digestOf(Buffer.from('2'))];
  await holds.set('c', { manifest: one, layers: [] });
  await holds.set('c.mounted', { manifest: two, layers: [] });
  await holds.set('c.layers', { layers: [] });
  await holds.set('cd', { manifest: digestOf(Buffer.from('3')), layers: [] });
  expect(await holds.manifestsOf('c')).toEqual([one, two]);
  expect(await holds.manifestsOf('nobody')).toEqual([]);
  await holds.sync('c');
});
