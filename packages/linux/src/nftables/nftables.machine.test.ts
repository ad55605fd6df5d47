import { execFileSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { codeOf, systemRandom } from '@wherry/base';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Nftables } from './nftables.ts';

const machine = `wt-${systemRandom.hex(6)}`;
const netns = `/run/netns/${machine}`;

beforeAll(() => void execFileSync('ip', ['netns', 'add', machine]));
afterAll(() => void execFileSync('ip', ['netns', 'del', machine]));

function codeFrom(work: () => unknown): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return codeOf(error);
  }
}

test('a call is one transaction in its namespace', () => {
  using nft = Nftables.open({ netns });
  nft.run('add table ip one\nadd set ip one s { type ipv4_addr; }\nadd element ip one s { 10.0.0.1 }');
  expect(nft.list('list tables')).toEqual([{ table: expect.objectContaining({ family: 'ip', name: 'one' }) }]);
  // The second command fails, so the first did not happen.
  expect(codeFrom(() => nft.run('add table ip two\nadd element ip one none { 10.0.0.1 }'))).toBe('notFound');
  expect(nft.list('list tables')).toHaveLength(1);
  expect(nft.listText('list table ip one')).toContain('10.0.0.1');
});

test('failures have codes', () => {
  using nft = Nftables.open({ netns });
  expect(codeFrom(() => nft.run('add nonsense'))).toBe('invalid');
  expect(codeFrom(() => nft.run('delete table ip none'))).toBe('notFound');
  nft.run('add table ip again');
  expect(codeFrom(() => nft.run('create table ip again'))).toBe('alreadyExists');
  nft.run('delete table ip again');
});

test('a disposed context is refused', () => {
  const nft = Nftables.open({ netns });
  nft[Symbol.dispose]();
  nft[Symbol.dispose]();
  expect(() => nft.run('list tables')).toThrow();
});

test('works in a process that has more open files than select(2) takes, while other threads open some', async () => {
  using before = Nftables.open({ netns });
  const files = Array.from({ length: 1100 }, () => openSync('/dev/null', 'r'));
  const others: Promise<unknown>[] = [];
  try {
    for (let count = 0; count < 200; count++) {
      using nft = Nftables.open({ netns });
      nft.run(`add table ip many${count}\ndelete table ip many${count}`);
      // Behind this call, on their threads.
      others.push(...Array.from({ length: 8 }, () => readFile('/proc/self/limits')));
      if (count % 10 === 0) await Promise.all(others.splice(0));
    }
    expect(before.list('list tables')).toEqual([expect.objectContaining({ table: expect.anything() })]);
  } finally {
    for (const file of files) closeSync(file);
  }
});
