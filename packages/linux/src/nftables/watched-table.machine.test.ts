import { execFileSync } from 'node:child_process';
import { deferred, silentLogger, systemRandom, VirtualClock } from '@wherry/base';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { Nftables } from './nftables.ts';
import { WatchedTable } from './watched-table.ts';

const machine = `wt-${systemRandom.hex(6)}`;
const netns = `/run/netns/${machine}`;
const rules = 'add table ip mine\ndelete table ip mine\nadd table ip mine\nadd set ip mine s { type ipv4_addr; }';

let clock: VirtualClock;
let table: WatchedTable;
let others: Nftables;
let restored = 0;
/** Resolves when a second table, opened after ours, has heard of a mark: then ours has heard all before it. */
let heard: () => Promise<void>;

beforeAll(() => void execFileSync('ip', ['netns', 'add', machine]));
afterAll(() => void execFileSync('ip', ['netns', 'del', machine]));

beforeEach(() => {
  clock = new VirtualClock();
  restored = 0;
  others = Nftables.open({ netns });
  const restore = (): void => {
    restored++;
    table.run(rules);
  };
  table = WatchedTable.open({ table: 'mine', netns, log: silentLogger, clock, restore });
  table.run(rules);
  heard = async () => {
    const done = deferred();
    const mark = {
      table: 'signpost',
      netns,
      log: silentLogger,
      clock: new VirtualClock(),
      restore: () => done.resolve(),
    };
    using listener = WatchedTable.open({ ...mark, clock: immediate });
    void listener;
    others.run('add table ip signpost\ndelete table ip signpost');
    await done.promise;
    // Every socket that was readable with it has been read when the event loop has gone round.
    await new Promise((resolve) => setImmediate(resolve));
  };
});
afterEach(() => {
  table[Symbol.dispose]();
  others.run('flush ruleset');
  others[Symbol.dispose]();
});

/** Timers that fire at once. */
const immediate = new (class extends VirtualClock {
  override after(_ms: number, callback: () => void): Disposable {
    callback();
    return { [Symbol.dispose]: () => undefined };
  }
})();

const hasTable = (): boolean =>
  others.list('list tables ip').some((entry) => (entry.table as { name: string }).name === 'mine');

test('our own transactions and those on other tables restore nothing', async () => {
  table.run('add element ip mine s { 10.0.0.1 }');
  others.run('add table ip other\nadd set ip other s { type ipv4_addr; }');
  others.run('add table inet mine');
  expect(() => table.run('add element ip mine none { 10.0.0.1 }')).toThrow();
  table.run('add element ip mine s { 10.0.0.2 }');
  await heard();
  await clock.advance(10_000);
  expect(restored).toBe(0);
});

test('what somebody else removes or changes is written anew, at most once a second', async () => {
  others.run('flush ruleset');
  await heard();
  await clock.advance(0);
  expect(restored).toBe(1);
  expect(hasTable()).toBe(true);
  others.run('add element ip mine s { 10.0.0.9 }');
  await heard();
  await clock.advance(999);
  expect(restored).toBe(1);
  await clock.advance(1);
  expect(restored).toBe(2);
  expect(others.listText('list table ip mine')).not.toContain('10.0.0.9');
});

test('more messages than the kernel keeps for us are no reason while they are ours', async () => {
  const many = Array.from({ length: 20_000 }, (_, at) => `10.${at >> 16}.${(at >> 8) & 255}.${at & 255}`);
  const flood = (): void => {
    for (let round = 0; round < 4; round++)
      table.run(`flush set ip mine s\nadd element ip mine s { ${many.join(', ')} }`);
  };
  flood();
  // Before anybody else does something: what goes by unseen beside the flood counts as a change.
  await new Promise((resolve) => setImmediate(resolve));
  await heard();
  await clock.advance(10_000);
  expect(restored).toBe(0);
  others.run('delete table ip mine');
  await heard();
  await clock.advance(0);
  expect(restored).toBe(1);
  // And a change of somebody else that is lost among them is not missed.
  flood();
  others.run('delete table ip mine\nadd table ip mine');
  await heard();
  await clock.advance(1000);
  expect(restored).toBe(2);
});
