import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, systemRandom, WherryError } from '@wherry/base';
import type { Digest } from '@wherry/oci';
import { readNames } from './content/content-store.ts';

/** What an owner keeps from being collected, whatever becomes of the image's names. */
export interface Hold {
  readonly manifest: Digest;
  readonly config: Digest;
  readonly layers: readonly { readonly digest: Digest; readonly chainId: Digest }[];
}

const ownerPattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,200}$/;

/**
 * Holds, one file each in `holds/<owner>`: making one is on the path of every container's start, so
 * it is a small write and a rename, without syncing. A hold that a power cut loses is made anew
 * when its owner asks for its root file system.
 */
export class Holds {
  readonly #folder: string;
  #ready: Promise<unknown> | undefined;

  constructor(directory: string) {
    this.#folder = join(directory, 'holds');
  }

  async set(owner: string, hold: Hold): Promise<void> {
    if (!ownerPattern.test(owner)) throw new WherryError('invalid', `${JSON.stringify(owner)} cannot own an image`);
    this.#ready ??= mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await this.#ready;
    const temporary = join(this.#folder, `.${systemRandom.hex(12)}`);
    await writeFile(temporary, JSON.stringify(hold), { flag: 'wx', mode: 0o600 });
    await rename(temporary, join(this.#folder, owner));
  }

  /** Ends a hold and gives what it was; `undefined` when there was none. */
  async release(owner: string): Promise<Hold | undefined> {
    if (!ownerPattern.test(owner)) return undefined;
    const hold = await this.#read(owner);
    await rm(join(this.#folder, owner), { force: true });
    return hold;
  }

  async list(): Promise<Hold[]> {
    const holds: Hold[] = [];
    for (const owner of await readNames(this.#folder)) {
      const hold = ownerPattern.test(owner) ? await this.#read(owner) : undefined;
      if (hold) holds.push(hold);
    }
    return holds;
  }

  async #read(owner: string): Promise<Hold | undefined> {
    try {
      return JSON.parse(await readFile(join(this.#folder, owner), 'utf8')) as Hold;
    } catch (error) {
      // Released meanwhile, or torn by a power cut.
      if (errnoOf(error) === 'ENOENT' || error instanceof SyntaxError) return undefined;
      throw error;
    }
  }
}
