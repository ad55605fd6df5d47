import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, JournaledRecords, KeyedMutex, type Logger, removeTree, writeFileAtomically } from '@wherry/base';
import type { HealthState } from './container.ts';
import type { ContainerRecord } from './record.ts';

const healthFile = 'health.json';

/**
 * The records of all containers in a journal, and a folder for each container with its log, its health, and the files
 * that are mounted into it. A record is whole whenever the daemon is killed. `durable` says that it must survive a power
 * cut, too: what a user was told is done. After one, the newest that reached the disk counts.
 */
export class RecordStore {
  readonly #root: string;
  readonly #log: Logger;
  readonly #locks = new KeyedMutex();
  readonly #records: JournaledRecords<ContainerRecord>;
  /** Of containers that are there, or are being made. */
  readonly #known: Set<string>;
  #closed = false;

  private constructor(root: string, log: Logger, records: JournaledRecords<ContainerRecord>) {
    this.#root = root;
    this.#log = log;
    this.#records = records;
    this.#known = new Set(records.all().map(({ id }) => id));
  }

  /** Opens the store of the folder; the journal stands beside it. Throws `unsupported`. */
  static async open(root: string, log: Logger): Promise<RecordStore> {
    await mkdir(root, { recursive: true, mode: 0o711 });
    const records = await JournaledRecords.open<ContainerRecord>(`${root}.journal`, log);
    // A creation or a removal that was cut off leaves a folder without a record; a kill, what it was about to write.
    for (const id of await readdir(root)) {
      const folder = join(root, id);
      if (!records.has(id)) {
        // The record may be among those that cannot be read.
        if (records.unreadable === undefined) await removeTree(folder);
      } else for (const name of await readdir(folder)) if (name.endsWith('.tmp')) await rm(join(folder, name));
    }
    return new RecordStore(root, log, records);
  }

  /** Where records stand that cannot be read: what has no record may have had one. */
  get unreadable(): string | undefined {
    return this.#records.unreadable;
  }

  folder(id: string): string {
    return join(this.#root, id);
  }

  /** Everything that was on disk. */
  all(): readonly ContainerRecord[] {
    return this.#records.all();
  }

  /** Begins a container: its folder. */
  async make(id: string): Promise<void> {
    this.#known.add(id);
    await mkdir(this.folder(id), { recursive: true, mode: 0o710 });
  }

  /** In the order of the calls. Nothing of what is removed, or when the daemon has let go: the next one finds out. */
  async save(record: ContainerRecord, { durable }: { readonly durable: boolean }): Promise<void> {
    if (this.#closed || !this.#known.has(record.id)) return;
    await this.#records.put(record);
    if (durable) await this.#records.persist();
  }

  /** What a container's health checks have found so far; `undefined` when they have not begun. */
  async health(id: string): Promise<HealthState | undefined> {
    try {
      const text = await readFile(join(this.folder(id), healthFile), 'utf8');
      const { version, health } = JSON.parse(text) as { readonly version: number; readonly health: HealthState };
      return version === 1 ? health : undefined;
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT')
        this.#log.warn('the health of a container is not known', { container: id, error });
      return undefined;
    }
  }

  /** Not synced: after a power cut nothing is healthy. */
  async saveHealth(id: string, health: HealthState): Promise<void> {
    if (this.#closed) return;
    const path = join(this.folder(id), healthFile);
    await this.#locks.run(id, async () => {
      if (!this.#known.has(id)) return;
      await writeFileAtomically(path, JSON.stringify({ version: 1, health }), { sync: false });
    });
  }

  /** The record goes last, which says that the container is being removed: with it, the removal is taken up again. */
  async remove(id: string): Promise<void> {
    this.#known.delete(id);
    await this.#locks.run(id, () => rm(this.folder(id), { recursive: true, force: true }));
    await this.#records.delete(id);
  }

  /** Resolves when everything that was to be saved is, or could not be. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#known].map((id) => this.#locks.run(id, async () => undefined)));
    await this.#records[Symbol.asyncDispose]();
  }
}
