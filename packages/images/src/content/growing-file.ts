import { type FileHandle, open } from 'node:fs/promises';
import { errnoOf, WherryError } from '@wherry/base';

const pieceSize = 1024 * 1024;

/** Cells of what readers are told. */
const changes = 0;
const length = 1;
const ending = 2;
const isWhole = 1n;
const isFailed = 2n;

/** What another thread needs to read a growing file (`readGrowing`): to be sent to it. */
export interface GrowingFileHandle {
  readonly path: string;
  /** Where the file is from before its end is told of: `path` unless it is moved. */
  readonly movesTo: string;
  readonly shared: SharedArrayBuffer;
}

export interface ReadGrowingOptions {
  /** Waits no longer than this for something to come (ms). */
  readonly patience?: number | undefined;
  /** What is read is put there: it is valid until the next piece is asked for. */
  readonly buffer?: Buffer | undefined;
}

/** A file that one writes to its end while others read it, on this thread or another. */
export class GrowingFile {
  readonly path: string;
  readonly handle: GrowingFileHandle;
  readonly #cells: BigInt64Array;
  #failure: { readonly error: unknown } | undefined;

  constructor(path: string, movesTo = path) {
    const shared = new SharedArrayBuffer(3 * BigInt64Array.BYTES_PER_ELEMENT);
    this.path = path;
    this.handle = { path, movesTo, shared };
    this.#cells = new BigInt64Array(shared);
  }

  /** The file has this many bytes by now. */
  grow(bytes: number): void {
    Atomics.store(this.#cells, length, BigInt(bytes));
    this.#tell();
  }

  end(): void {
    Atomics.store(this.#cells, ending, isWhole);
    this.#tell();
  }

  /** There will be no more, and whoever reads is told why. */
  fail(error: unknown): void {
    this.#failure = { error };
    Atomics.store(this.#cells, ending, isFailed);
    this.#tell();
  }

  /** Resolves when there is something to read, or nothing to come. */
  async begun(): Promise<void> {
    await begun(this.#cells, Number.POSITIVE_INFINITY);
  }

  /** All of it, waiting for what is still to be written. Ends early when the consumer does. */
  async *read(options?: ReadGrowingOptions): AsyncGenerator<Buffer, void, undefined> {
    try {
      yield* readGrowing(this.handle, options);
    } catch (error) {
      throw this.#failure ? this.#failure.error : error;
    }
  }

  #tell(): void {
    Atomics.add(this.#cells, changes, 1n);
    Atomics.notify(this.#cells, changes);
  }
}

/** As `GrowingFile.read`, on any thread. Throws `cancelled` where the file fails, `unavailable` when patience ends. */
export async function* readGrowing(
  { path, movesTo, shared }: GrowingFileHandle,
  { patience = Number.POSITIVE_INFINITY, buffer }: ReadGrowingOptions = {},
): AsyncGenerator<Buffer, void, undefined> {
  const cells = new BigInt64Array(shared);
  await begun(cells, patience);
  throwIfFailed(cells);
  const file = await openMoving(path, movesTo);
  try {
    for (let at = 0; ; ) {
      const seen = Atomics.load(cells, changes);
      throwIfFailed(cells);
      const isOver = Atomics.load(cells, ending) === isWhole;
      const there = Number(Atomics.load(cells, length)) - at;
      if (there === 0 && isOver) return;
      if (there === 0) {
        await changed(cells, seen, patience);
        continue;
      }
      const piece = buffer ?? Buffer.allocUnsafe(Math.min(pieceSize, there));
      const { bytesRead } = await file.read(piece, 0, Math.min(piece.length, there), at);
      // Cut off by someone: the writer's next word says why.
      if (bytesRead === 0) throw new WherryError('cancelled', `${path} became shorter`);
      at += bytesRead;
      yield piece.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

async function openMoving(path: string, movesTo: string): Promise<FileHandle> {
  try {
    return await open(path, 'r');
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    return await open(movesTo, 'r');
  }
}

async function begun(cells: BigInt64Array, patience: number): Promise<void> {
  for (;;) {
    const seen = Atomics.load(cells, changes);
    if (Atomics.load(cells, length) !== 0n || Atomics.load(cells, ending) !== 0n) return;
    await changed(cells, seen, patience);
  }
}

/** Resolves when there is news since `seen`. */
async function changed(cells: BigInt64Array, seen: bigint, patience: number): Promise<void> {
  const { value } = Atomics.waitAsync(cells, changes, seen, patience);
  if ((await value) === 'timed-out') throw new WherryError('unavailable', `nothing came for ${patience} ms`);
}

function throwIfFailed(cells: BigInt64Array): void {
  if (Atomics.load(cells, ending) === isFailed) throw new WherryError('cancelled', 'the file will not be whole');
}
