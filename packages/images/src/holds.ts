import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, otherVersion, syncPath, systemRandom, WherryError } from '@wherry/base';
import type { Digest } from '@wherry/oci';
import { readNames } from './content/folder-names.ts';

/** What an owner keeps from being collected, whatever becomes of the image's names. */
export interface Hold {
  /** Of an image that is held; a hold may be of layers alone. */
  readonly manifest?: Digest | undefined;
  readonly config?: Digest | undefined;
  readonly layers: readonly { readonly digest: Digest; readonly chainId: Digest }[];
}

const version = 1;
const ownerPattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,200}$/;

/**
 * Holds, one file each in `holds/<owner>`: making one is on the path of every container's start, so
 * it is a small write and a rename, without syncing: owners that outlast a power cut ask for that. They are read once,
 * when they are first listed.
 */
export class Holds {
  readonly #folder: string;
  #ready: Promise<unknown> | undefined;
  #known: Promise<Map<string, Hold>> | undefined;

  constructor(directory: string) {
    this.#folder = join(directory, 'holds');
  }

  async set(owner: string, hold: Hold): Promise<void> {
    if (!ownerPattern.test(owner)) throw new WherryError('invalid', `${JSON.stringify(owner)} cannot own an image`);
    this.#ready ??= mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await this.#ready;
    // In memory first: a collection that begins meanwhile sees it.
    (await this.#all()).set(owner, hold);
    const temporary = join(this.#folder, `.${systemRandom.hex(12)}`);
    try {
      await writeFile(temporary, JSON.stringify({ version, ...hold }), { flag: 'wx', mode: 0o600 });
      await rename(temporary, join(this.#folder, owner));
    } catch (error) {
      await rm(temporary, { force: true });
      this.#known = undefined;
      throw error;
    }
  }

  /** Writes the holds of an owner, and of owners `OWNER.…`, through to the disk. Nothing when there is none. */
  async sync(owner: string): Promise<void> {
    const owners = await this.#ownersLike(owner);
    if (owners.length === 0) return;
    for (const one of owners) await syncPath(join(this.#folder, one));
    await syncPath(this.#folder);
  }

  /** The images that they hold. */
  async manifestsOf(owner: string): Promise<readonly Digest[]> {
    const holds = await this.#all();
    const held = (await this.#ownersLike(owner)).map((one) => holds.get(one)?.manifest);
    return held.filter((manifest) => manifest !== undefined);
  }

  async #ownersLike(owner: string): Promise<readonly string[]> {
    return [...(await this.#all()).keys()].filter((one) => one === owner || one.startsWith(`${owner}.`));
  }

  /** Ends a hold and gives what it was; `undefined` when there was none. */
  async release(owner: string): Promise<Hold | undefined> {
    if (!ownerPattern.test(owner)) return undefined;
    const holds = await this.#all();
    const hold = holds.get(owner);
    if (hold === undefined) return undefined;
    await rm(join(this.#folder, owner), { force: true });
    holds.delete(owner);
    return hold;
  }

  /** Removes what a process that died left half-written. Only before anything is begun. */
  async cleanUp(): Promise<void> {
    for (const name of await readNames(this.#folder)) {
      if (name.startsWith('.')) await rm(join(this.#folder, name), { force: true });
    }
  }

  async list(): Promise<Hold[]> {
    return [...(await this.#all()).values()];
  }

  #all(): Promise<Map<string, Hold>> {
    this.#known ??= this.#load().catch((error: unknown) => {
      this.#known = undefined;
      throw error;
    });
    return this.#known;
  }

  async #load(): Promise<Map<string, Hold>> {
    const holds = new Map<string, Hold>();
    for (const owner of await readNames(this.#folder)) {
      const hold = ownerPattern.test(owner) ? await this.#read(owner) : undefined;
      if (hold) holds.set(owner, hold);
    }
    return holds;
  }

  async #read(owner: string): Promise<Hold | undefined> {
    const path = join(this.#folder, owner);
    let file: Hold & { readonly version?: unknown };
    try {
      file = JSON.parse(await readFile(path, 'utf8')) as typeof file;
    } catch (error) {
      // Released meanwhile, or torn by a power cut.
      if (errnoOf(error) === 'ENOENT' || error instanceof SyntaxError) return undefined;
      throw error;
    }
    if (!Array.isArray(file?.layers)) return undefined;
    // Those of before holds had a version are of the first.
    const { version: written = version, ...hold } = file;
    if (written !== version) throw otherVersion(path, written, version);
    return hold;
  }
}
