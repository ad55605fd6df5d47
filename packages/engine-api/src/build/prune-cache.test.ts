import type { BuildCacheRecord, Builder } from '@wherry/builder';
import { expect, it } from 'vitest';
import type { Exchange } from '../http/exchange.ts';
import { Query } from '../http/query.ts';
import type { EngineApiOptions } from '../options.ts';
import { pruneBuildCache } from './prune-cache.ts';

async function asked(query: string): Promise<Parameters<Builder['prune']>[0]> {
  let options: Parameters<Builder['prune']>[0] = { all: false };
  const builder = {
    prune: async (given: typeof options) => {
      options = given;
      return { deleted: [], bytes: 0 };
    },
  } as unknown as Builder;
  const engine = { events: { emit: () => undefined } } as unknown as EngineApiOptions;
  const exchange = { query: new Query(query), send: () => undefined } as unknown as Exchange;
  await pruneBuildCache(engine, builder, exchange);
  return options;
}

const filters = (value: object): string => `filters=${encodeURIComponent(JSON.stringify(value))}`;

it.each([
  [filters({ bogus: ['1'] }), "failed to prune build cache: invalid filter 'bogus'"],
  [
    filters({ until: ['soon'] }),
    `failed to prune build cache: "until" filter expects a duration (e.g., '24h') or a timestamp: failed to parse value as time or duration: "soon"`,
  ],
  [filters({ id: ['a', 'b'] }), 'failed to prune build cache: filters expect only one value'],
  [
    'keep-storage=x',
    'keep-storage is in bytes and expects an integer, got x: strconv.Atoi: parsing "x": invalid syntax',
  ],
])('refuses %s as dockerd does', async (query, words) => {
  await expect(asked(query)).rejects.toThrow(words);
});

it('selects by what records are', async () => {
  const record = { id: 'abc', type: 'exec.cachemount', inUse: false, shared: false } as BuildCacheRecord;
  const { selects, keepBytes } = await asked(`keep-storage=10&${filters({ type: ['exec.cachemount'], id: ['b'] })}`);
  expect(keepBytes).toBe(10);
  expect(selects!(record)).toBe(true);
  expect(selects!({ ...record, type: 'regular' })).toBe(false);
  expect(await asked(filters({ label: ['a', 'b'], 'label!': ['c'] }))).toEqual({ all: false });
  expect((await asked(filters({ shared: [] }))).selects!(record)).toBe(false);
});
