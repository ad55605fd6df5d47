import { type Change, type Entry, type KeyRange, type TableName, type Tables, tableNames } from './tables.ts';

/** Tables in memory: sorted arrays. For tests and for stores that need not last. */
export class MemoryTables implements Tables {
  readonly #tables = new Map<TableName, Entry[]>(tableNames.map((name) => [name, []]));

  get(table: TableName, key: Buffer): Buffer | undefined {
    const entries = this.#tables.get(table)!;
    const entry = entries[position(entries, key)];
    return entry?.key.equals(key) ? entry.value : undefined;
  }

  *range(table: TableName, range: KeyRange): Iterable<Entry> {
    const entries = this.#tables.get(table)!;
    const [from, to] = bounds(entries, range);
    // A snapshot: the reader sees one state whatever is committed meanwhile.
    const found = entries.slice(from, to);
    yield* range.reverse ? found.reverse() : found;
  }

  count(table: TableName, range: KeyRange): number {
    const [from, to] = bounds(this.#tables.get(table)!, range);
    return Math.max(0, to - from);
  }

  async commit(changes: readonly Change[]): Promise<void> {
    for (const { table, key, value } of changes) {
      const entries = this.#tables.get(table)!;
      const at = position(entries, key);
      const there = entries[at]?.key.equals(key) ? 1 : 0;
      if (value === undefined) entries.splice(at, there);
      else entries.splice(at, there, { key, value });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#tables.clear();
  }
}

function bounds(entries: readonly Entry[], { start, end }: KeyRange): [number, number] {
  return [start ? position(entries, start) : 0, end ? position(entries, end) : entries.length];
}

/** The index of the first entry that is not before `key`. */
function position(entries: readonly Entry[], key: Buffer): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (Buffer.compare(entries[middle]!.key, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
