import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, KeyedMutex, type Logger, WherryError, writeFileAtomically } from '@wherry/base';
import type { ContainerRecord } from './record.ts';

const file = 'container.json';

/**
 * A folder for each container with its record, its log, and the files that are mounted into it. A record is whole
 * whenever the daemon is killed. `durable` says that it must survive a power cut, too: what a user was told is done.
 */
export class RecordStore {
  readonly #root: string;
  readonly #log: Logger;
  readonly #locks = new KeyedMutex();
  readonly #waiting = new Map<string, ContainerRecord>();

  constructor(root: string, log: Logger) {
    this.#root = root;
    this.#log = log;
  }

  folder(id: string): string {
    return join(this.#root, id);
  }

  /** Everything that is on disk; what cannot be read is reported and left for a person to look at. */
  async load(): Promise<ContainerRecord[]> {
    await mkdir(this.#root, { recursive: true, mode: 0o711 });
    const records: ContainerRecord[] = [];
    for (const id of await readdir(this.#root)) {
      if (!/^[0-9a-f]{64}$/.test(id)) continue;
      const record = await this.#read(id);
      if (record !== undefined) records.push(record);
    }
    return records;
  }

  async #read(id: string): Promise<ContainerRecord | undefined> {
    try {
      const value = JSON.parse(await readFile(join(this.folder(id), file), 'utf8')) as ContainerRecord;
      if (value.version !== 1 || value.id !== id)
        throw new WherryError('unsupported', 'it was written by another version of Wherry');
      return value;
    } catch (error) {
      // A creation or a removal that was cut off leaves a folder without a record.
      if (errnoOf(error) === 'ENOENT') await rm(this.folder(id), { recursive: true, force: true });
      else this.#log.error('a container could not be read', { container: id, error });
      return undefined;
    }
  }

  async save(record: ContainerRecord, { durable }: { readonly durable: boolean }): Promise<void> {
    this.#waiting.set(record.id, record);
    await this.#locks.run(record.id, async () => {
      // A later save of the same container has taken this one's place, or has this one's content.
      const newest = this.#waiting.get(record.id);
      if (newest === undefined) return;
      this.#waiting.delete(record.id);
      await writeFileAtomically(join(this.folder(record.id), file), JSON.stringify(newest), { sync: durable });
    });
  }

  async make(id: string): Promise<void> {
    await mkdir(this.folder(id), { recursive: true, mode: 0o710 });
  }

  async remove(id: string): Promise<void> {
    await this.#locks.run(id, async () => {
      this.#waiting.delete(id);
      // The record last: with it, the removal is taken up again.
      for (const name of await readdir(this.folder(id)).catch(() => []))
        if (name !== file) await rm(join(this.folder(id), name), { recursive: true, force: true });
      await rm(this.folder(id), { recursive: true, force: true });
    });
  }

  /** Resolves when everything that was to be saved is. */
  async flush(): Promise<void> {
    await Promise.all([...this.#waiting.values()].map((record) => this.save(record, { durable: false })));
  }
}
