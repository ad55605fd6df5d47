import { createHash } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, errnoOf, type Logger, Mutex, writeFileAtomically } from '@wherry/base';
import { mostNamedFiles } from '../files/copy-sources.ts';

/** What a step was and what came of it. */
export interface StepRecord {
  /** The image that it was done on; empty for `scratch`. */
  readonly parent: string;
  readonly keyword: string;
  /** As the history has it, in words. */
  readonly words: readonly string[];
  readonly image: string;
  /** Of COPY and ADD: checksums by path, for saying what changed. */
  readonly files?: Readonly<Record<string, string>> | undefined;
  readonly createdAt: number; // ms
  readonly lastUsedAt: number; // ms
}

interface State {
  readonly version: 1;
  readonly steps: Record<string, StepRecord>;
  /** Checksums of what was copied from images, whose content never changes. */
  readonly checksums: Record<string, string>;
}

const mostSteps = 5000;
const mostChecksums = 5000;

/** Finds the image that a step gave before; in one file that is replaced after each build. */
export class StepCache {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #mutex = new Mutex();
  readonly #state: State;
  #isChanged = false;

  private constructor(path: string, clock: Clock, state: State) {
    this.#path = path;
    this.#clock = clock;
    this.#state = state;
  }

  static async open(directory: string, clock: Clock, log: Logger): Promise<StepCache> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const path = join(directory, 'steps.json');
    return new StepCache(path, clock, await load(path, log));
  }

  find(key: string): StepRecord | undefined {
    return Object.hasOwn(this.#state.steps, key) ? this.#state.steps[key] : undefined;
  }

  /** Saved with the next change: a build that is all cached writes nothing. */
  used(key: string): void {
    const record = this.find(key);
    if (record === undefined) return;
    // The youngest stand at the end.
    delete this.#state.steps[key];
    this.#state.steps[key] = { ...record, lastUsedAt: this.#clock.now() };
  }

  add(key: string, step: Omit<StepRecord, 'createdAt' | 'lastUsedAt'>): void {
    const now = this.#clock.now();
    const files = step.files && Object.keys(step.files).length <= mostNamedFiles ? step.files : undefined;
    delete this.#state.steps[key];
    this.#state.steps[key] = { ...step, files, createdAt: now, lastUsedAt: now };
    shorten(this.#state.steps, mostSteps);
    this.#isChanged = true;
  }

  forget(key: string): void {
    delete this.#state.steps[key];
    this.#isChanged = true;
  }

  checksum(key: string): string | undefined {
    return Object.hasOwn(this.#state.checksums, key) ? this.#state.checksums[key] : undefined;
  }

  keepChecksum(key: string, checksum: string): void {
    this.#state.checksums[key] = checksum;
    shorten(this.#state.checksums, mostChecksums);
    this.#isChanged = true;
  }

  /** Youngest first. */
  records(): readonly StepRecord[] {
    return Object.values(this.#state.steps).reverse();
  }

  clear(): void {
    for (const key of Object.keys(this.#state.steps)) delete this.#state.steps[key];
    for (const key of Object.keys(this.#state.checksums)) delete this.#state.checksums[key];
    this.#isChanged = true;
  }

  /** Without waiting for the disk: what a power cut takes is built anew. */
  async save(): Promise<void> {
    await this.#mutex.run(async () => {
      if (!this.#isChanged) return;
      this.#isChanged = false;
      await writeFileAtomically(this.#path, JSON.stringify(this.#state), { sync: false });
    });
  }
}

/** The identity of a step: what it is done on and all that it depends on. */
export function stepKey(parts: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

function shorten(entries: Record<string, unknown>, most: number): void {
  const keys = Object.keys(entries);
  for (const key of keys.slice(0, Math.max(0, keys.length - most))) delete entries[key];
}

async function load(path: string, log: Logger): Promise<State> {
  const empty: State = { version: 1, steps: Object.create(null), checksums: Object.create(null) };
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return empty;
    throw error;
  }
  try {
    const value = JSON.parse(text) as State;
    if (value.version === 1) {
      Object.assign(empty.steps, value.steps);
      Object.assign(empty.checksums, value.checksums);
      return empty;
    }
    log.warn('the build cache was written by another version and is begun anew', { path });
  } catch (error) {
    log.warn('the build cache cannot be read and is begun anew', { path, error });
  }
  return empty;
}
