import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LogFields, parseCidr, silentLogger } from '@wherry/base';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { AddressBook } from './address-book.ts';
import { NetworkRecords } from './containers/records.ts';
import { NodeState } from './node-state.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'wherry-records-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const garbage = ['', '{"version":1,"con', '\0\0\0', 'null'];
/** What the error says of a file that is as it was. */
async function refused(name: string, content: string, open: () => Promise<unknown>): Promise<unknown> {
  writeFileSync(join(folder, name), content);
  const error = await open().catch((caught: unknown) => caught);
  expect(readFileSync(join(folder, name), 'utf8')).toBe(content);
  return error;
}
const newer = (name: string) => ({
  code: 'unsupported',
  message: `${join(folder, name)} has version 2, and this Wherry reads version 1: start the one that wrote it`,
});

test.each(['networks', 'endpoints', 'ports', 'names'] as const)('records of %s that cannot be read', async (kind) => {
  const records = await NetworkRecords.open(folder, silentLogger);
  for (const [at, content] of garbage.entries()) writeFileSync(join(folder, kind, `g${at}.json`), content);
  writeFileSync(join(folder, kind, 'whole.json'), JSON.stringify({ version: 1, content: { id: 'whole' } }));
  for (let again = 0; again < 2; again++) expect(await records.load(kind)).toEqual([{ id: 'whole' }]);
  expect(readdirSync(join(folder, kind)).sort()).toEqual([
    ...garbage.map((_, at) => `g${at}.json.unreadable`),
    'whole.json',
  ]);
  expect(readFileSync(join(folder, kind, 'g1.json.unreadable'), 'utf8')).toBe(garbage[1]);
  const name = `${kind}/newer.json`;
  expect(await refused(name, '{"version":2,"content":{}}', () => records.load(kind))).toMatchObject(newer(name));
});

test('what was changed on the machine', async () => {
  const records = await NetworkRecords.open(folder, silentLogger);
  const name = 'machine.json';
  expect(await refused(name, '{"version":2,"content":{}}', () => records.machine())).toMatchObject(newer(name));
  for (const content of garbage) {
    writeFileSync(join(folder, name), content);
    expect(await records.machine()).toEqual({ sysctls: {}, ipv6Base: undefined });
    expect(readFileSync(join(folder, `${name}.unreadable`), 'utf8')).toBe(content);
  }
});

test('what the pods\u2019 network changed on the node', async () => {
  const place = { bridge: 'wherry0', podCidr: '10.244.0.0/24', netns: undefined, log: silentLogger };
  const open = () => NodeState.open(folder, place);
  expect(await refused('network.json', '{"version":2}', open)).toMatchObject(newer('network.json'));
  for (const content of garbage) {
    writeFileSync(join(folder, 'network.json'), content);
    await open();
    expect(readFileSync(join(folder, 'network.json.unreadable'), 'utf8')).toBe(content);
  }
});

test('leases: those of before they had a version hold, later ones are refused, others go with a warning', async () => {
  const warnings: LogFields[] = [];
  const log = { ...silentLogger, warn: (_: string, fields: LogFields = {}) => void warnings.push(fields) };
  const open = () => AddressBook.open(folder, parseCidr('10.244.0.0/24'), log);
  const lease = { id: 'a', address: '10.244.0.2', name: 'web', portMappings: [] };
  writeFileSync(join(folder, lease.address), JSON.stringify(lease));
  for (const [at, content] of garbage.entries()) writeFileSync(join(folder, `10.244.0.${at + 3}`), content);
  const book = await open();
  expect(book.leases).toEqual([lease]);
  expect(warnings).toHaveLength(garbage.length);
  const second = await book.allocate({ id: 'b', name: undefined, portMappings: [] });
  expect(JSON.parse(readFileSync(join(folder, second.address), 'utf8'))).toMatchObject({ version: 1, id: 'b' });
  expect((await open()).leases).toHaveLength(2);
  const name = '10.244.0.9';
  const later = JSON.stringify({ ...lease, version: 2, address: name });
  expect(await refused(name, later, open)).toMatchObject(newer(name));
});
