import { type Deferred, deferred, WherryError } from '@wherry/base';
import { encodeKey } from './keys.ts';
import { MvccReader, metaNames } from './mvcc-reader.ts';
import { decodeLog, decodeRevision, encodeLog, encodeRecord, encodeRevision, versionKey } from './records.ts';
import type {
  KeyValue,
  ListOptions,
  ListResult,
  Revision,
  Store,
  StoreEvent,
  WatchBatch,
  WriteResult,
} from './store.ts';
import type { Change, Tables } from './tables.ts';
import { Watchers } from './watchers.ts';

export interface MvccOptions {
  /**
   * Versions are kept for at least this many revisions and then forgotten by themselves, in the
   * wake of writes (default 10,000; `Infinity`: only when `compact` is called).
   */
  readonly keepRevisions?: number | undefined;
  /** The largest value in bytes (default 8 MiB). */
  readonly largestValue?: number | undefined;
}

/** Bounds of one commit: more waiting writes go into the next. */
const largestGroup = { writes: 512, bytes: 16 * 1024 * 1024 };
/** Log entries that one step of a compaction removes, between two commits. */
const compactionStep = 256;

interface Write {
  readonly key: string;
  readonly keyBytes: Buffer;
  /** `undefined`: delete. */
  readonly value: Buffer | undefined;
  readonly expected: Revision | undefined;
  readonly done: Deferred<WriteResult>;
}

/** A group of writes, evaluated in order of arrival against the newest state. */
interface Group {
  readonly changes: Change[];
  readonly events: StoreEvent[];
  readonly outcomes: { readonly write: Write; readonly result: WriteResult }[];
  revision: Revision;
}

/**
 * MVCC over ordered tables with group commit: one commit is under way at a time, and all writes
 * that arrive meanwhile share the next. Compares are decided here, before the commit, which is
 * sound because this object is the only writer.
 */
export class MvccStore implements Store {
  readonly #tables: Tables;
  readonly #reader: MvccReader;
  readonly #watchers: Watchers;
  readonly #keep: number;
  readonly #largestValue: number;
  #waiting: Write[] = [];
  /** The write loop, while it runs. */
  #writing: Promise<void> | undefined;
  #compactions: { readonly to: Revision; readonly done: Deferred<void> }[] = [];
  #closed = false;

  constructor(tables: Tables, { keepRevisions = 10_000, largestValue = 8 * 1024 * 1024 }: MvccOptions = {}) {
    this.#tables = tables;
    this.#reader = new MvccReader(tables);
    this.#watchers = new Watchers((prefix, after) => this.#reader.history(prefix, after));
    this.#keep = keepRevisions;
    this.#largestValue = largestValue;
  }

  async revision(): Promise<Revision> {
    this.#open();
    return this.#reader.revision();
  }

  async get(key: string, { revision }: { revision?: Revision | undefined } = {}): Promise<KeyValue | undefined> {
    this.#open();
    return this.#reader.get(key, revision);
  }

  async list(prefix: string, options: ListOptions = {}): Promise<ListResult> {
    this.#open();
    return this.#reader.list(prefix, options);
  }

  async put(key: string, value: Uint8Array, expected?: Revision): Promise<WriteResult> {
    if (value.length > this.#largestValue) {
      throw new WherryError(
        'tooLarge',
        `the value of ${key} has ${value.length} bytes, more than the ${this.#largestValue} allowed`,
      );
    }
    return await this.#write(key, exactCopy(value), expected);
  }

  async delete(key: string, expected?: Revision): Promise<WriteResult> {
    return await this.#write(key, undefined, expected);
  }

  async *watch(
    prefix: string,
    after: Revision,
    { signal }: { signal: AbortSignal },
  ): AsyncGenerator<WatchBatch, void, undefined> {
    this.#open();
    yield* this.#watchers.watch(prefix, after, signal);
  }

  async compact(revision: Revision): Promise<void> {
    this.#open();
    const newest = this.#reader.revision();
    if (!Number.isSafeInteger(revision) || revision < 0 || revision > newest) {
      throw new WherryError('invalid', `cannot compact to revision ${revision}, the newest is ${newest}`);
    }
    const done = deferred();
    this.#compactions.push({ to: revision, done });
    this.#start();
    await done.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#writing;
    this.#watchers.close();
    await this.#tables[Symbol.asyncDispose]();
  }

  async #write(key: string, value: Buffer | undefined, expected: Revision | undefined): Promise<WriteResult> {
    this.#open();
    const done = deferred<WriteResult>();
    this.#waiting.push({ key, keyBytes: encodeKey(key), value, expected, done });
    this.#start();
    return await done.promise;
  }

  #start(): void {
    this.#writing ??= this.#writeLoop().finally(() => {
      this.#writing = undefined;
      if (this.#waiting.length + this.#compactions.length > 0) this.#start();
    });
  }

  async #writeLoop(): Promise<void> {
    // Lets writers of the same turn join the first group.
    await undefined;
    while (this.#waiting.length + this.#compactions.length > 0) {
      if (this.#waiting.length > 0) await this.#commitGroup();
      await this.#compactStep();
    }
  }

  async #commitGroup(): Promise<void> {
    const writes = this.#takeGroup();
    let group: Group;
    try {
      group = this.#evaluate(writes);
      if (group.changes.length > 0) await this.#tables.commit(group.changes);
    } catch (error) {
      for (const write of writes) write.done.reject(error);
      return;
    }
    if (group.events.length > 0) this.#watchers.publish({ revision: group.revision, events: group.events });
    for (const { write, result } of group.outcomes) write.done.resolve(result);
    this.#keepBounded(group.revision);
  }

  #takeGroup(): Write[] {
    let bytes = 0;
    let count = 0;
    for (const write of this.#waiting) {
      bytes += write.value?.length ?? 0;
      if (count > 0 && (bytes > largestGroup.bytes || count === largestGroup.writes)) break;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  #evaluate(writes: readonly Write[]): Group {
    const group: Group = { changes: [], events: [], outcomes: [], revision: this.#reader.revision() };
    /** What earlier writes of this group made of their keys. */
    const made = new Map<string, KeyValue | undefined>();
    for (const write of writes) {
      const current = made.has(write.key) ? made.get(write.key) : this.#reader.current(write.keyBytes);
      const matches = write.expected === undefined || write.expected === (current?.modRevision ?? 0);
      if (!matches || (write.value === undefined && current === undefined)) {
        group.outcomes.push({ write, result: { ok: false, current } });
        continue;
      }
      made.set(write.key, change(group, write, current));
      group.outcomes.push({ write, result: { ok: true, revision: group.revision } });
    }
    if (group.changes.length > 0) {
      group.changes.push({ table: 'meta', key: metaNames.revision, value: encodeRevision(group.revision) });
    }
    return group;
  }

  /** Schedules a compaction once twice as much as must be kept has gathered, without waiting for it. */
  #keepBounded(newest: Revision): void {
    if (this.#keep === Number.POSITIVE_INFINITY || this.#compactions.length > 0) return;
    if (newest - this.#reader.compacted() <= 2 * this.#keep) return;
    const done = deferred();
    // A full disk fails it; the next write tries again.
    done.promise.catch(() => undefined);
    this.#compactions.push({ to: newest - this.#keep, done });
  }

  /**
   * One step of the oldest compaction. The first step moves the mark, so that readers see `gone` and
   * not holes; what a crash leaves below the mark goes with the next compaction.
   */
  async #compactStep(): Promise<void> {
    const compaction = this.#compactions[0];
    if (compaction === undefined) return;
    try {
      const mark = Math.max(this.#reader.compacted(), compaction.to);
      const changes: Change[] = [{ table: 'meta', key: metaNames.compacted, value: encodeRevision(mark) }];
      let steps = 0;
      for (const entry of this.#tables.range('log', { end: encodeRevision(mark + 1) })) {
        const { previous, key } = decodeLog(entry.value);
        if (previous > 0) changes.push({ table: 'versions', key: versionKey(key, previous), value: undefined });
        changes.push({ table: 'log', key: encodeRevision(decodeRevision(entry.key)), value: undefined });
        if (++steps === compactionStep) break;
      }
      await this.#tables.commit(changes);
      if (steps === compactionStep) return;
    } catch (error) {
      this.#compactions.shift();
      compaction.done.reject(error);
      return;
    }
    this.#compactions.shift();
    compaction.done.resolve();
  }

  #open(): void {
    if (this.#closed) throw new WherryError('unavailable', 'the store is closed');
  }
}

/**
 * A copy in memory of its own. Events are kept for long by those who watch; a small slice of Node's buffer pool
 * would keep the whole of its 8 KiB alive.
 */
function exactCopy(value: Uint8Array): Buffer {
  const copy = Buffer.allocUnsafeSlow(value.length);
  copy.set(value);
  return copy;
}

/** Adds one accepted write to a group and gives what now stands at its key. */
function change(group: Group, write: Write, current: KeyValue | undefined): KeyValue | undefined {
  const revision = ++group.revision;
  const { key, keyBytes, value } = write;
  const log = encodeLog(current?.modRevision ?? 0, keyBytes);
  group.changes.push({ table: 'log', key: encodeRevision(revision), value: log });
  if (current) {
    group.changes.push({
      table: 'versions',
      key: versionKey(keyBytes, current.modRevision),
      value: encodeRecord(current.createRevision, revision, current.value),
    });
  }
  if (value === undefined) {
    group.changes.push({ table: 'current', key: keyBytes, value: undefined });
    group.events.push({ type: 'delete', key, revision, previous: current });
    return undefined;
  }
  const kv: KeyValue = { key, value, createRevision: current?.createRevision ?? revision, modRevision: revision };
  group.changes.push({ table: 'current', key: keyBytes, value: encodeRecord(kv.createRevision, revision, value) });
  group.events.push({ type: 'put', kv, previous: current });
  return kv;
}
