import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type Cidr, ipv4At, type Logger, otherVersion, parseIp, WherryError, writeFileAtomically } from '@wherry/base';
import type { PortMapping } from '@wherry/runtime';

/** Who has an address. */
export interface Lease {
  readonly id: string;
  readonly address: string;
  readonly name: string | undefined;
  readonly portMappings: readonly PortMapping[];
}

const version = 1;
const cursorFile = 'cursor';

/**
 * The addresses of a range and who has them: one file per address, named after it, so that a kill
 * at any moment leaves every lease whole or absent. Addresses are given out in turn, so that one
 * that was freed stays unused as long as possible. The first two and the last of the range are
 * never given out. Power loss is no concern: it takes the sandboxes along.
 */
export class AddressBook {
  readonly #directory: string;
  readonly #range: Cidr;
  readonly #byId = new Map<string, Lease>();
  readonly #taken = new Set<string>();
  #cursor: number;

  private constructor(directory: string, range: Cidr, cursor: number) {
    this.#directory = directory;
    this.#range = range;
    this.#cursor = cursor;
  }

  /** Reads the folder, which is made when missing. Files that are no leases are removed. Throws `unsupported` for one of another version. */
  static async open(directory: string, range: Cidr, log: Logger): Promise<AddressBook> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const files = await readdir(directory);
    const cursor = files.includes(cursorFile) ? Number(await readFile(join(directory, cursorFile), 'utf8')) : 1;
    const book = new AddressBook(directory, range, Number.isInteger(cursor) && cursor > 0 ? cursor : 1);
    for (const file of files) {
      if (file === cursorFile) continue;
      const lease = parseIp(file) && parseLease(join(directory, file), await readFile(join(directory, file), 'utf8'));
      if (lease === undefined || book.#byId.has(lease.id)) {
        log.warn('removing an address file that is not a lease', { file });
        await rm(join(directory, file), { force: true });
        continue;
      }
      book.#byId.set(lease.id, lease);
      book.#taken.add(lease.address);
    }
    return book;
  }

  get leases(): readonly Lease[] {
    return [...this.#byId.values()];
  }

  find(id: string): Lease | undefined {
    return this.#byId.get(id);
  }

  /** Takes the next free address. Throws `exhausted`, and `alreadyExists` when the id has one. */
  async allocate(request: Omit<Lease, 'address'>): Promise<Lease> {
    if (this.#byId.has(request.id)) throw new WherryError('alreadyExists', `sandbox ${request.id} has an address`);
    const lease = { ...request, address: this.#next() };
    this.#byId.set(lease.id, lease);
    this.#taken.add(lease.address);
    try {
      const path = join(this.#directory, lease.address);
      await writeFileAtomically(path, `${JSON.stringify({ version, ...lease })}\n`, { sync: false });
      await writeFileAtomically(join(this.#directory, cursorFile), `${this.#cursor}\n`, { sync: false });
    } catch (error) {
      await this.release(lease.id);
      throw error;
    }
    return lease;
  }

  /** Frees the address of the id, if it has one. */
  async release(id: string): Promise<void> {
    const lease = this.#byId.get(id);
    if (lease === undefined) return;
    await rm(join(this.#directory, lease.address), { force: true });
    this.#byId.delete(id);
    this.#taken.delete(lease.address);
  }

  #next(): string {
    const last = 2 ** (32 - this.#range.prefix) - 2;
    for (let tried = 2; tried <= last; tried++) {
      this.#cursor = this.#cursor >= last ? 2 : this.#cursor + 1;
      const address = ipv4At(this.#range, this.#cursor);
      if (!this.#taken.has(address)) return address;
    }
    throw new WherryError('exhausted', `all ${Math.max(last - 1, 0)} addresses of the node's pod range are in use`);
  }
}

/** `undefined` for what is no lease. Those of before leases had a version are of the first. */
function parseLease(path: string, text: string): Lease | undefined {
  let file: Lease & { readonly version?: unknown };
  try {
    file = JSON.parse(text) as typeof file;
    if (typeof file !== 'object' || file === null) return undefined;
  } catch {
    return undefined;
  }
  const { version: written = version, ...lease } = file;
  if (written !== version) throw otherVersion(path, written, version);
  const whole = typeof lease.id === 'string' && Array.isArray(lease.portMappings);
  return whole && lease.address === basename(path) ? lease : undefined;
}
