import { WherryError } from '@wherry/base';
import { afterPrefix, encodeKey, encodePrefix } from './keys.ts';
import { decodeCurrent, decodeLog, decodeRevision, decodeVersion, encodeRevision, versionKey } from './records.ts';
import type { KeyValue, ListOptions, ListResult, Revision, StoreEvent } from './store.ts';
import type { KeyRange, Tables } from './tables.ts';
import type { HistoryPage } from './watchers.ts';

/** Names in the `meta` table. */
export const metaNames = {
  revision: Buffer.from('revision'),
  compacted: Buffer.from('compacted'),
};

/** What a watcher that is behind reads at once. */
const historyPage = 512;

/** Synchronous reads at a revision over the tables. Each call sees one state. */
export class MvccReader {
  readonly #tables: Tables;

  constructor(tables: Tables) {
    this.#tables = tables;
  }

  revision(): Revision {
    return this.#meta(metaNames.revision);
  }

  compacted(): Revision {
    return this.#meta(metaNames.compacted);
  }

  current(key: Buffer): KeyValue | undefined {
    const bytes = this.#tables.get('current', key);
    return bytes && decodeCurrent(bytes, key.toString());
  }

  get(key: string, at: Revision | undefined): KeyValue | undefined {
    const bytes = encodeKey(key);
    const current = this.current(bytes);
    if (at === undefined) return current;
    this.#check(at);
    if (current && current.modRevision <= at) return current;
    const range: KeyRange = { start: versionKey(bytes, 0), end: versionKey(bytes, at + 1), reverse: true };
    for (const entry of this.#tables.range('versions', range)) {
      const { kv, until } = decodeVersion(entry.key, entry.value);
      return until > at ? kv : undefined;
    }
    return undefined;
  }

  list(prefix: string, { revision: at, limit, start }: ListOptions): ListResult {
    const first = encodePrefix(prefix);
    const from = start === undefined ? first : encodePrefix(start);
    const range = { start: Buffer.compare(from, first) < 0 ? first : from, end: afterPrefix(first) };
    const newest = this.revision();
    if (at !== undefined) this.#check(at);
    const past = at !== undefined && at < newest;
    const items: KeyValue[] = [];
    const most = limit === undefined || limit <= 0 ? Number.POSITIVE_INFINITY : limit;
    let remaining = 0;
    for (const kv of past ? this.#listAt(range, at) : this.#listNow(range)) {
      if (items.length < most) items.push(kv);
      else if (past) remaining++;
      else {
        remaining = this.#tables.count('current', { start: Buffer.from(kv.key), end: range.end });
        break;
      }
    }
    return { revision: past ? at : newest, items, more: remaining > 0, remaining };
  }

  /** Events after a revision, oldest first, at most a page. Throws `gone` when they were compacted. */
  history(prefix: string, after: Revision): HistoryPage {
    const compacted = this.compacted();
    if (after < compacted) throw gone(after, compacted);
    const newest = this.revision();
    const events: StoreEvent[] = [];
    let scanned = 0;
    for (const entry of this.#tables.range('log', { start: encodeRevision(after + 1) })) {
      const revision = decodeRevision(entry.key);
      const { previous, key } = decodeLog(entry.value);
      const name = key.toString();
      if (name.startsWith(prefix)) events.push(this.#event(revision, previous, key, name));
      if (++scanned === historyPage && revision < newest) return { revision, events, more: true };
    }
    return { revision: newest, events, more: false };
  }

  #event(revision: Revision, previousRevision: Revision, key: Buffer, name: string): StoreEvent {
    const previous = previousRevision > 0 ? this.#version(key, previousRevision) : undefined;
    const current = this.current(key);
    const kv = current?.modRevision === revision ? current : this.#version(key, revision);
    return kv ? { type: 'put', kv, previous } : { type: 'delete', key: name, revision, previous };
  }

  #version(key: Buffer, mod: Revision): KeyValue | undefined {
    const entryKey = versionKey(key, mod);
    const bytes = this.#tables.get('versions', entryKey);
    return bytes && decodeVersion(entryKey, bytes).kv;
  }

  *#listNow(range: KeyRange): Generator<KeyValue> {
    for (const entry of this.#tables.range('current', range)) yield decodeCurrent(entry.value, entry.key.toString());
  }

  /** Merges what still stands with what stood: a key has at most one version that was alive at `at`. */
  *#listAt(range: KeyRange, at: Revision): Generator<KeyValue> {
    const past = this.#aliveAt(range, at)[Symbol.iterator]();
    let next = past.next();
    for (const { key, value } of this.#tables.range('current', range)) {
      while (!next.done && Buffer.compare(next.value.key, key) < 0) {
        yield next.value.kv;
        next = past.next();
      }
      const kv = decodeCurrent(value, key.toString());
      if (kv.modRevision <= at) yield kv;
    }
    for (; !next.done; next = past.next()) yield next.value.kv;
  }

  *#aliveAt(range: KeyRange, at: Revision): Generator<{ key: Buffer; kv: KeyValue }> {
    for (const entry of this.#tables.range('versions', range)) {
      const { kv, until } = decodeVersion(entry.key, entry.value);
      if (kv.modRevision <= at && at < until) yield { key: entry.key.subarray(0, -9), kv };
    }
  }

  #check(at: Revision): void {
    if (!Number.isSafeInteger(at) || at < 0) throw new WherryError('invalid', `${at} is not a revision`);
    const compacted = this.compacted();
    if (at < compacted) throw gone(at, compacted);
    const newest = this.revision();
    if (at > newest) {
      throw new WherryError('unavailable', `revision ${at} is not reached yet, the newest is ${newest}`);
    }
  }

  #meta(name: Buffer): Revision {
    const bytes = this.#tables.get('meta', name);
    return bytes ? decodeRevision(bytes) : 0;
  }
}

function gone(revision: Revision, compacted: Revision): WherryError {
  return new WherryError('gone', `revision ${revision} was compacted, the oldest is ${compacted}`, {
    details: { compacted },
  });
}
