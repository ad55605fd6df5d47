import { mkdir, open, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, KeyedMutex, type Logger, WherryError, writeFileAtomically } from '@wherry/base';
import type { HealthState } from './container.ts';
import type { ContainerRecord } from './record.ts';

/** What was synced, and what was written later and was not. That with the higher count is read, if it can be. */
const syncedFile = 'container.json';
const latestFile = 'container.latest.json';
const healthFile = 'health.json';

/**
 * A folder for each container with its record, its log, and the files that are mounted into it. A record is whole
 * whenever the daemon is killed. `durable` says that it must survive a power cut, too: what a user was told is done.
 * What is not durable is written to a file of its own, because a power cut may leave neither the old nor the new content
 * of a file that is replaced unsynced.
 */
export class RecordStore {
  readonly #root: string;
  readonly #log: Logger;
  readonly #locks = new KeyedMutex();
  readonly #waiting = new Map<string, { readonly record: ContainerRecord; readonly durable: boolean }>();
  readonly #counts = new Map<string, number>();

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
    const ids = (await readdir(this.#root)).filter((id) => /^[0-9a-f]{64}$/.test(id));
    const records = await Promise.all(ids.map((id) => this.#load(id)));
    return records.filter((record) => record !== undefined);
  }

  async #load(id: string): Promise<ContainerRecord | undefined> {
    try {
      for (const name of await readdir(this.folder(id)))
        if (name.endsWith('.tmp')) await rm(join(this.folder(id), name), { force: true });
      const synced = await this.#read(id, syncedFile);
      // Torn by a power cut it counts for nothing.
      const latest = await this.#read(id, latestFile).catch(() => undefined);
      const newest = (latest?.count ?? -1) > (synced?.count ?? -1) ? latest : synced;
      // A creation or a removal that was cut off leaves a folder without a record.
      if (newest === undefined) await rm(this.folder(id), { recursive: true, force: true });
      else this.#counts.set(id, newest.count);
      return newest?.record;
    } catch (error) {
      this.#log.error('a container could not be read', { container: id, error });
      return undefined;
    }
  }

  async #read(
    id: string,
    name: string,
  ): Promise<{ readonly record: ContainerRecord; readonly count: number } | undefined> {
    try {
      const text = await readFile(join(this.folder(id), name), 'utf8');
      const { count = 0, ...record } = JSON.parse(text) as ContainerRecord & { readonly count?: number };
      if (record.version !== 1 || record.id !== id)
        throw new WherryError('unsupported', 'it was written by another version of Wherry');
      return { record, count };
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  async save(record: ContainerRecord, { durable }: { readonly durable: boolean }): Promise<void> {
    const { id } = record;
    const before = this.#waiting.get(id);
    this.#waiting.set(id, { record, durable: durable || before?.durable === true });
    await this.#locks.run(id, async () => {
      // A later save of the same container has taken this one's place, or has this one's content.
      const newest = this.#waiting.get(id);
      if (newest === undefined) return;
      this.#waiting.delete(id);
      try {
        await this.#write(id, newest.record, newest.durable);
      } catch (error) {
        // Who saved after us tries again, and has an answer of his own.
        if (!this.#waiting.has(id)) this.#waiting.set(id, newest);
        throw error;
      }
    });
  }

  async #write(id: string, record: ContainerRecord, durable: boolean): Promise<void> {
    const count = (this.#counts.get(id) ?? 0) + 1;
    const isFirst = !this.#counts.has(id);
    this.#counts.set(id, count);
    const path = join(this.folder(id), durable ? syncedFile : latestFile);
    await writeFileAtomically(path, JSON.stringify({ ...record, count }), { sync: durable });
    if (durable && isFirst) await syncFolder(this.#root);
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
    const path = join(this.folder(id), healthFile);
    await this.#locks.run(id, async () => {
      // It may have been removed meanwhile.
      if (!this.#counts.has(id)) return;
      await writeFileAtomically(path, JSON.stringify({ version: 1, health }), { sync: false });
    });
  }

  async make(id: string): Promise<void> {
    await mkdir(this.folder(id), { recursive: true, mode: 0o710 });
  }

  async remove(id: string): Promise<void> {
    await this.#locks.run(id, async () => {
      this.#waiting.delete(id);
      this.#counts.delete(id);
      // The record last, which says that it is being removed: with it, the removal is taken up again.
      const last = [latestFile, syncedFile];
      const names = (await readdir(this.folder(id)).catch(() => [])).filter((name) => !last.includes(name));
      for (const name of [...names, ...last]) await rm(join(this.folder(id), name), { recursive: true, force: true });
      await rm(this.folder(id), { recursive: true, force: true });
    });
  }

  /** Resolves when everything that was to be saved is, or could not be. */
  async flush(): Promise<void> {
    await Promise.allSettled([...this.#waiting.values()].map(({ record }) => this.save(record, { durable: false })));
    await Promise.all([...this.#counts.keys()].map((id) => this.#locks.run(id, async () => undefined)));
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
