import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, type Logger, writeFileAtomically } from '@wherry/base';
import type { ImageConfig } from '@wherry/oci';
import type { ContainerConfig, PodSandboxConfig } from '@wherry/runtime';

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
  readonly process?: ProcessIdentity | undefined;
  readonly monitor?: ProcessIdentity | undefined;
}

/**
 * One JSON file a record, replaced by rename. They are not synced: a killed daemon loses nothing, and
 * after a power cut no container lives; a record that does not parse then is dropped with its folder.
 */
export class RecordStore<T extends { readonly id: string; readonly version: 1 }> {
  readonly #folder: string;
  readonly #log: Logger;
  readonly #records = new Map<string, T>();

  private constructor(folder: string, log: Logger) {
    this.#folder = folder;
    this.#log = log;
  }

  static async open<T extends { readonly id: string; readonly version: 1 }>(
    folder: string,
    log: Logger,
  ): Promise<RecordStore<T>> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const store = new RecordStore<T>(folder, log);
    for (const name of await readdir(folder)) {
      if (name.endsWith('.json')) await store.#load(name);
      else if (name.endsWith('.tmp')) await rm(join(folder, name), { force: true });
    }
    return store;
  }

  async #load(name: string): Promise<void> {
    try {
      const record = JSON.parse(await readFile(join(this.#folder, name), 'utf8')) as T;
      if (record.version !== 1 || `${record.id}.json` !== name) throw new Error('not a record of version 1');
      this.#records.set(record.id, record);
    } catch (error) {
      this.#log.warn('dropped an unreadable record', { file: join(this.#folder, name), error });
      await rm(join(this.#folder, name), { force: true });
    }
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
      await this.#write(record);
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
    await this.#write(record).catch((error: unknown) => {
      if (!['ENOSPC', 'EDQUOT'].includes(errnoOf(error) ?? '')) throw error;
      this.#log.warn('no room for a record', { record: record.id, error });
    });
    return record;
  }

  #write(record: T): Promise<void> {
    return writeFileAtomically(join(this.#folder, `${record.id}.json`), JSON.stringify(record), { sync: false });
  }

  async delete(id: string): Promise<void> {
    this.#records.delete(id);
    await rm(join(this.#folder, `${id}.json`), { force: true }).catch((error: unknown) => {
      if (errnoOf(error) !== 'ENOENT') throw error;
    });
  }
}
