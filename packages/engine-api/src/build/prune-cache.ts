import { codeOf, messageOf, systemClock, WherryError } from '@wherry/base';
import type { BuildCacheRecord, Builder } from '@wherry/builder';
import { type Filters, timeOrAge } from '@wherry/docker';
import type { Exchange } from '../http/exchange.ts';
import { checkFilters } from '../http/filters.ts';
import type { Query } from '../http/query.ts';
import type { EngineApiOptions } from '../options.ts';

/** Filters on what a record is: with a value, or with none on its being so. */
const matchers: Readonly<Record<string, (record: BuildCacheRecord, value: string) => boolean>> = {
  id: ({ id }, value) => id.includes(value),
  parent: (_, value) => value === '',
  type: ({ type }, value) => type === value,
  description: ({ description }, value) => description === value,
  inuse: ({ inUse }) => inUse,
  shared: ({ shared }) => shared,
  private: ({ shared }) => !shared,
};

/** `POST /build/prune`. */
export async function pruneBuildCache(
  { clock = systemClock, events }: EngineApiOptions,
  builder: Builder,
  exchange: Exchange,
): Promise<void> {
  const { query } = exchange;
  const { deleted, bytes } = await builder.prune({
    all: query.flag('all'),
    ...keptBytes(query),
    ...selection(query.filters(), clock.now()),
  });
  events.emit('builder', 'prune', '', { reclaimed: String(bytes) });
  exchange.send(200, { CachesDeleted: deleted.length === 0 ? null : deleted, SpaceReclaimed: bytes });
}

function keptBytes(query: Query): { readonly keepBytes?: number } {
  for (const name of ['reserved-space', 'keep-storage']) {
    try {
      const keepBytes = query.integer(name);
      if (keepBytes !== undefined) return { keepBytes };
    } catch (error) {
      const words = `${name} is in bytes and expects an integer, got ${query.text(name)}: ${messageOf(error)}`;
      throw new WherryError('invalid', words, { cause: error });
    }
  }
  return {};
}

type Selection = Pick<Parameters<Builder['prune']>[0], 'olderThan' | 'selects'>;

/** Throws `invalid` in dockerd's words. */
function selection(filters: Filters, now: number): Selection {
  try {
    // `system prune` has labels for all it prunes; nothing here has any, and dockerd does not look at them.
    checkFilters(filters, [...Object.keys(matchers), 'until', 'unused-for', 'label', 'label!']);
    const asked = [...filters].filter(([name]) => Object.hasOwn(matchers, name));
    if ([...filters].some(([name, values]) => !name.startsWith('label') && values.length > 1)) {
      throw new WherryError('invalid', 'filters expect only one value');
    }
    return {
      ...olderThan(filters, now),
      ...(asked.length > 0 && {
        selects: (record) => asked.every(([name, [value = '']]) => matchers[name]!(record, value)),
      }),
    };
  } catch (error) {
    const words = `failed to prune build cache: ${messageOf(error)}`;
    throw new WherryError(codeOf(error) ?? 'internal', words, { cause: error });
  }
}

function olderThan(filters: Filters, now: number): Selection {
  const name = filters.has('unused-for') ? 'unused-for' : 'until';
  if (filters.has('until') && name !== 'until') {
    throw new WherryError('invalid', 'conflicting filters: "until" and "unused-for"');
  }
  const value = filters.get(name)?.[0];
  if (value === undefined) return {};
  try {
    return { olderThan: timeOrAge(value, now) };
  } catch (error) {
    const words = `${JSON.stringify(name)} filter expects a duration (e.g., '24h') or a timestamp: ${messageOf(error)}`;
    throw new WherryError('invalid', words, { cause: error });
  }
}
