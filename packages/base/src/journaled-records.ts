import { isDiskFull } from './errors.ts';
import type { Logger } from './log.ts';
import { RecordJournal } from './record-journal.ts';

/**
 * Records by their ids, kept in a journal. They are not synced unless that is asked for (`persist`): a killed daemon
 * loses nothing.
 */
export class JournaledRecords<T extends { readonly id: string; readonly version: 1 }> implements AsyncDisposable {
  readonly #records: Map<string, T>;
  readonly #journal: RecordJournal<T>;
  readonly #log: Logger;

  private constructor(records: Map<string, T>, journal: RecordJournal<T>, log: Logger) {
    this.#records = records;
    this.#journal = journal;
    this.#log = log;
  }

  static async open<T extends { readonly id: string; readonly version: 1 }>(
    path: string,
    log: Logger,
  ): Promise<JournaledRecords<T>> {
    const records = new Map<string, T>();
    return new JournaledRecords(records, await RecordJournal.open(path, records, log), log);
  }

  /** Where records stand that cannot be read: as long as it is there, what has no record may have had one. */
  get unreadable(): string | undefined {
    return this.#journal.unreadable;
  }

  has(id: string): boolean {
    return this.#records.has(id);
  }

  get(id: string): T | undefined {
    return this.#records.get(id);
  }

  all(): T[] {
    return [...this.#records.values()];
  }

  /** Replaces the record; resolves when a killed daemon would find it. A failure leaves the one before. */
  async put(record: T): Promise<T> {
    const before = this.#records.get(record.id);
    this.#records.set(record.id, record);
    try {
      await this.#journal.append({ put: record });
    } catch (error) {
      // Not what was put meanwhile. A rewrite of the journal would write what nobody was told.
      if (this.#records.get(record.id) === record) {
        if (before === undefined) this.#records.delete(record.id);
        else this.#records.set(record.id, before);
      }
      throw error;
    }
    return record;
  }

  /** Replaces the record of what has happened anyway: a full disk must not hold up the end of things. */
  async note(record: T): Promise<T> {
    this.#records.set(record.id, record);
    await this.#journal.append({ put: record }).catch((error: unknown) => this.#allowFull(record.id, error));
    return record;
  }

  /** Resolves when a power cut leaves all records at least as they are now. */
  async persist(): Promise<void> {
    await this.#journal.sync();
  }

  /** On a full disk it comes back with the next daemon, which finds nothing of it and ends it again. */
  async delete(id: string): Promise<void> {
    if (!this.#records.delete(id)) return;
    await this.#journal.append({ delete: id }).catch((error: unknown) => this.#allowFull(id, error));
  }

  #allowFull(id: string, error: unknown): void {
    if (!isDiskFull(error)) throw error;
    this.#log.warn('no room for a record', { record: id, error });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#journal[Symbol.asyncDispose]();
  }
}
