import { errnoOf, type Logger, RecordJournal } from '@wherry/base';
import type { ImageConfig } from '@wherry/oci';
import type { ContainerConfig, PodSandboxConfig } from '@wherry/runtime';
import type { RegisteredRuntime } from '../options.ts';

/** A process that outlives the daemon, told from a later one with the same number by its start time. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTime: string;
}

/**
 * `creating` and `starting` are written before the first side effect, so that a crash in between is found and undone:
 * the one to nothing, the other to `notReady`.
 */
export interface SandboxRecord {
  readonly version: 1;
  readonly id: string;
  readonly config: PodSandboxConfig;
  readonly createdAt: number;
  readonly phase: 'creating' | 'starting' | 'ready' | 'notReady';
  readonly ips: readonly string[];
  /** Its cgroup is not its own, but one that its user named, of many: nothing in it is killed but its containers. */
  readonly shares?: true | undefined;
  /** The init of a shared process namespace. */
  readonly init?: ProcessIdentity | undefined;
}

/**
 * `starting` stands while the OCI runtime works: a crash then is found `running`, or undone to `exited` where there is
 * a `finishedAt` of the run before, else to `created`.
 */
export interface ContainerRecord {
  readonly version: 1;
  readonly id: string;
  readonly sandboxId: string;
  readonly config: ContainerConfig;
  readonly imageId: string;
  readonly imageConfig?: ImageConfig['config'];
  readonly lowerDirectories: readonly string[];
  /** Layers of the images that it mounts, topmost first, by the names in its configuration. */
  readonly mountedImages?: Readonly<Record<string, readonly string[]>> | undefined;
  readonly stopSignal: string;
  readonly createdAt: number;
  readonly phase: 'creating' | 'created' | 'starting' | 'running' | 'exited' | 'removing';
  readonly startedAt?: number | undefined;
  readonly finishedAt?: number | undefined;
  readonly exitCode?: number | undefined;
  readonly reason?: string | undefined;
  readonly message?: string | undefined;
  /** The kernel killed a process of its last run for lack of memory. */
  readonly oomKilled?: boolean | undefined;
  /** The OCI runtime of its last start: whatever is registered later, this one knows the container. */
  readonly runtime?: RegisteredRuntime | undefined;
  readonly process?: ProcessIdentity | undefined;
  readonly monitor?: ProcessIdentity | undefined;
}

/**
 * Records by their ids, kept in a journal. They are not synced unless that is asked for: a killed daemon loses nothing,
 * and after a power cut no container lives.
 */
export class RecordStore<T extends { readonly id: string; readonly version: 1 }> implements AsyncDisposable {
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
  ): Promise<RecordStore<T>> {
    const records = new Map<string, T>();
    return new RecordStore(records, await RecordJournal.open(path, records, log), log);
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
      if (before === undefined) this.#records.delete(record.id);
      else this.#records.set(record.id, before);
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
    if (!['ENOSPC', 'EDQUOT'].includes(errnoOf(error) ?? '')) throw error;
    this.#log.warn('no room for a record', { record: id, error });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#journal[Symbol.asyncDispose]();
  }
}
