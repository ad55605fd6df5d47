import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, type Logger, Mutex, messageOf, writeFileAtomically } from '@wherry/base';
import { type Digest, isDigest } from '@wherry/oci';
import { namingFullDisk } from './content/full-disk.ts';
import type { DiskSync } from './disk-sync.ts';

/** One image that is on its way here. */
interface Arrival {
  readonly manifest: Digest;
  /** Everything of it is written. */
  isWhole: boolean;
}

/**
 * Images (by manifest) whose content may not be on the disk yet, in a file that names them, with the machine's boot, before
 * anything of them stands under its name: after a power cut, which is another boot, they are not to be trusted. They
 * leave the file when the disk has been synced behind them.
 */
export class UnsettledImages {
  readonly #path: string;
  readonly #boot: string;
  readonly #disk: Pick<DiskSync, 'note' | 'run'>;
  readonly #log: Logger;
  readonly #arrivals = new Set<Arrival>();
  readonly #writing = new Mutex();
  #settling: Promise<void> | undefined;

  /** `boot`: what is another one after each start of the machine. */
  constructor(directory: string, boot: string, disk: Pick<DiskSync, 'note' | 'run'>, log: Logger) {
    this.#path = join(directory, 'unsettled.json');
    this.#boot = boot;
    this.#disk = disk;
    this.#log = log;
  }

  /** What a power cut left: `undefined` where there was none, or nothing was under way. */
  async left(): Promise<readonly Digest[] | undefined> {
    const left = await this.#read();
    if (left === undefined || left.manifests.length === 0) return undefined;
    if (left.boot !== this.#boot) return left.manifests;
    // A process that was killed has written all of it, which the kernel has still.
    this.#disk.note();
    for (const manifest of left.manifests) this.#arrivals.add({ manifest, isWhole: true });
    this.#settle();
    return undefined;
  }

  /** Forgets what `left` gave: it has been looked at. */
  async clear(): Promise<void> {
    await this.#writing.run(() => this.#write());
  }

  /** Before content of an image is entered that is not synced. When it is disposed, all of it was written, or nothing more will be. */
  async begin(manifest: Digest): Promise<Disposable> {
    const arrival: Arrival = { manifest, isWhole: false };
    this.#arrivals.add(arrival);
    try {
      await this.#writing.run(() => this.#write());
    } catch (error) {
      this.#arrivals.delete(arrival);
      throw error;
    }
    return {
      [Symbol.dispose]: () => {
        arrival.isWhole = true;
        this.#settle();
      },
    };
  }

  /** Resolves once images that are here whole, these or all, are on the disk for good. Rejects where the disk fails. */
  async settled(manifests?: readonly Digest[]): Promise<void> {
    const isWanted = ({ manifest, isWhole }: Arrival): boolean => isWhole && manifests?.includes(manifest) !== false;
    while ([...this.#arrivals].some(isWanted)) {
      this.#settle();
      await this.#settling;
    }
  }

  /** Behind everybody's back: who relies on it awaits `settled`. */
  #settle(): void {
    if (this.#settling) return;
    this.#settling = this.#settleAll().catch((error: unknown) => {
      this.#settling = undefined;
      throw error;
    });
    this.#settling.catch((error: unknown) => {
      this.#log.warn('images that came are not on the disk for good', { error: messageOf(error) });
    });
  }

  async #settleAll(): Promise<void> {
    for (;;) {
      const whole = [...this.#arrivals].filter(({ isWhole }) => isWhole);
      if (whole.length === 0) {
        // At once: what becomes whole from here on is for the next one.
        this.#settling = undefined;
        return;
      }
      await this.#disk.run();
      await this.#writing.run(async () => {
        await this.#write(new Set(whole));
        for (const arrival of whole) this.#arrivals.delete(arrival);
      });
    }
  }

  async #write(settled: ReadonlySet<Arrival> = new Set()): Promise<void> {
    const doubtful = [...this.#arrivals].filter((arrival) => !settled.has(arrival));
    const manifests = [...new Set(doubtful.map(({ manifest }) => manifest))];
    try {
      await writeFileAtomically(this.#path, `${JSON.stringify({ boot: this.#boot, manifests })}\n`);
    } catch (error) {
      throw namingFullDisk(error);
    }
  }

  async #read(): Promise<{ readonly boot: unknown; readonly manifests: readonly Digest[] } | undefined> {
    try {
      const { boot, manifests } = JSON.parse(await readFile(this.#path, 'utf8')) as Record<string, unknown>;
      return { boot, manifests: Array.isArray(manifests) ? manifests.filter((one) => isDigest(one)) : [] };
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      if (!(error instanceof SyntaxError)) throw error;
      this.#log.warn('cannot read which images are not on the disk for good', { path: this.#path });
      return undefined;
    }
  }
}
