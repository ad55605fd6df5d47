import { createHash } from 'node:crypto';
import { chmodSync, chownSync } from 'node:fs';
import { lstat, mkdir, readdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Clock,
  errnoOf,
  KeyedMutex,
  type Logger,
  removeTree,
  systemRandom,
  writeFileAtomically,
} from '@wherry/base';
import type { BuildCacheRecord } from '../builder.ts';

export type Sharing = 'shared' | 'private' | 'locked';

interface Facts {
  readonly version: 1;
  readonly description: string;
  readonly createdAt: number; // ms
  readonly lastUsedAt: number; // ms
  readonly usageCount: number;
}

export interface CacheMountRequest {
  /** What it is known by. */
  readonly id: string;
  readonly sharing: Sharing;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Fills a new folder. */
  readonly fill?: ((folder: string) => Promise<void>) | undefined;
}

/** Folders of `RUN --mount=type=cache`, that stay from build to build: `cache-mounts/NAME/{facts.json,data}`. */
export class CacheMounts {
  readonly #folder: string;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #locks = new KeyedMutex();
  readonly #making = new KeyedMutex();
  readonly #users = new Map<string, number>();

  constructor(folder: string, clock: Clock, log: Logger) {
    this.#folder = folder;
    this.#clock = clock;
    this.#log = log;
  }

  /** Works with a cache's folder, alone where it is locked; a private one that is in use gives another. */
  async use<T>(request: CacheMountRequest, work: (folder: string) => Promise<T>): Promise<T> {
    const name = createHash('sha256').update(request.id).digest('hex').slice(0, 32);
    if (request.sharing === 'locked') return await this.#locks.run(name, () => this.#within(name, request, work));
    if (request.sharing === 'shared') return await this.#within(name, request, work);
    let own = name;
    for (let count = 1; this.#users.has(own); count++) own = `${name}-${count}`;
    return await this.#within(own, request, work);
  }

  async #within<T>(name: string, request: CacheMountRequest, work: (folder: string) => Promise<T>): Promise<T> {
    this.#users.set(name, (this.#users.get(name) ?? 0) + 1);
    try {
      const data = await this.#making.run(name, () => this.#make(name, request));
      return await work(data);
    } finally {
      const users = this.#users.get(name)! - 1;
      if (users === 0) this.#users.delete(name);
      else this.#users.set(name, users);
    }
  }

  async #make(name: string, request: CacheMountRequest): Promise<string> {
    const home = join(this.#folder, name);
    const data = join(home, 'data');
    const before = await this.#facts(name);
    if (before === undefined) {
      await removeTree(home);
      await mkdir(data, { recursive: true, mode: 0o700 });
      await request.fill?.(data);
      chownSync(data, request.uid, request.gid);
      chmodSync(data, request.mode);
    }
    const now = this.#clock.now();
    const facts: Facts = {
      version: 1,
      description: `cached mount ${request.id}`,
      createdAt: before?.createdAt ?? now,
      lastUsedAt: now,
      usageCount: (before?.usageCount ?? 0) + 1,
    };
    await writeFileAtomically(join(home, 'facts.json'), JSON.stringify(facts), { sync: false });
    return data;
  }

  async records(): Promise<readonly BuildCacheRecord[]> {
    const found: BuildCacheRecord[] = [];
    for (const name of await this.#names()) {
      const facts = await this.#facts(name);
      if (facts === undefined) continue;
      const bytes = await treeBytes(join(this.#folder, name, 'data'));
      const { description, createdAt, lastUsedAt, usageCount } = facts;
      const inUse = this.#users.has(name);
      const times = { createdAt, lastUsedAt, usageCount };
      found.push({ id: name, type: 'exec.cachemount', description, inUse, shared: false, bytes, ...times });
    }
    return found;
  }

  /** Removes one that nobody uses. */
  async remove(name: string): Promise<boolean> {
    return await this.#making.run(name, async () => {
      if (this.#users.has(name)) return false;
      const aside = join(this.#folder, `.removed-${systemRandom.hex(12)}`);
      await rename(join(this.#folder, name), aside);
      await removeTree(aside);
      return true;
    });
  }

  /** Removes what a removal that was cut off has left. */
  async cleanUp(): Promise<void> {
    for (const name of await readNames(this.#folder)) {
      if (name.startsWith('.')) await removeTree(join(this.#folder, name));
    }
  }

  async #names(): Promise<readonly string[]> {
    return (await readNames(this.#folder)).filter((name) => !name.startsWith('.'));
  }

  async #facts(name: string): Promise<Facts | undefined> {
    try {
      const facts = JSON.parse(await readFile(join(this.#folder, name, 'facts.json'), 'utf8')) as Facts;
      return facts.version === 1 ? facts : undefined;
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      this.#log.warn('a cache mount cannot be read', { name, error });
      return undefined;
    }
  }
}

async function readNames(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}

async function treeBytes(folder: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) bytes += await treeBytes(path);
    else
      bytes += await lstat(path).then(
        ({ size }) => size,
        () => 0,
      );
  }
  return bytes;
}
