import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, removeTree } from '@wherry/base';
import { mountsBelow, unmountAll } from '@wherry/linux';

/** The builder's folders. What stands in `work` and `run` belongs to builds under way, a folder each. */
export class BuilderPaths {
  readonly directory: string;
  readonly #runDirectory: string;

  constructor(directory: string, runDirectory: string) {
    this.directory = directory;
    this.#runDirectory = runDirectory;
  }

  get cacheMounts(): string {
    return join(this.directory, 'cache-mounts');
  }

  get #works(): string {
    return join(this.directory, 'work');
  }

  /** On the file system of the images. */
  work(build: string): string {
    return join(this.#works, build);
  }

  run(build: string): string {
    return join(this.#runDirectory, build);
  }

  async make(build: string): Promise<void> {
    await mkdir(join(this.work(build), 'holds'), { recursive: true, mode: 0o700 });
    await mkdir(this.run(build), { recursive: true, mode: 0o700 });
  }

  /** Writes down that an owner of layers is this build's, before it holds any: who dies leaves none behind. */
  async noteHold(build: string, owner: string): Promise<void> {
    await writeFile(join(this.work(build), 'holds', owner), '');
  }

  /** Builds that a process has left, or has now. */
  async builds(): Promise<readonly string[]> {
    return [...new Set([...(await names(this.#works)), ...(await names(this.#runDirectory))])];
  }

  /** Owners of layers of one build. */
  async holds(build: string): Promise<readonly string[]> {
    return await names(join(this.work(build), 'holds'));
  }

  /** Takes away all that a build has made. Idempotent. */
  async remove(build: string): Promise<void> {
    for (const folder of [this.run(build), this.work(build)]) {
      for (const { mountPoint } of mountsBelow(folder).reverse()) unmountAll(mountPoint);
      await removeTree(folder);
    }
  }
}

async function names(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}
