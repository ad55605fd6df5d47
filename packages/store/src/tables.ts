/**
 * The ordered tables on which `MvccStore` keeps its data. Reads are synchronous and, within one
 * synchronous stretch, see one state; a commit is atomic and, once resolved, durable and visible.
 */
export interface Tables extends AsyncDisposable {
  get(table: TableName, key: Buffer): Buffer | undefined;
  /** Entries in byte order of their keys. Keys and values are the caller's to keep. */
  range(table: TableName, range: KeyRange): Iterable<Entry>;
  /** How many keys the range has. */
  count(table: TableName, range: KeyRange): number;
  /** Rejects with `exhausted` when the disk is full; then nothing of it was done. */
  commit(changes: readonly Change[]): Promise<void>;
}

export type TableName = (typeof tableNames)[number];
export const tableNames = ['current', 'versions', 'log', 'meta'] as const;

export interface KeyRange {
  /** Inclusive. */
  readonly start?: Buffer | undefined;
  /** Exclusive. */
  readonly end?: Buffer | undefined;
  /** From the last key to the first. */
  readonly reverse?: boolean;
}

export interface Entry {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** A write, or with `value` undefined a removal. */
export interface Change {
  readonly table: TableName;
  readonly key: Buffer;
  readonly value: Buffer | undefined;
}
