import { peek, TaskThreads } from '@wherry/base';
import { decompressed } from '@wherry/images';
import { unpackContext } from '../files/unpack-context.ts';
import { MoreWork, WorkBound } from '../files/work-bound.ts';
import type { BoundedTask, FileTasks } from './file-task.ts';
import { boundedWork } from './file-work.ts';

/** An archive that is shorter than this is unpacked on the event loop (bytes, as it comes). */
const shortArchive = 512 * 1024;

/** Work on the files of builds: little of it at once, much of it on threads. */
export class BuildFiles implements AsyncDisposable {
  readonly #threads = new TaskThreads<FileTasks>({
    package: 'builder',
    name: 'build-files',
    opensByItself: true,
  });

  /** See `Builder.unpackContext`. */
  async unpackContext(archive: AsyncIterable<Uint8Array>, folder: string, signal: AbortSignal): Promise<void> {
    const { first, whole } = await peek(archive, shortArchive);
    if (first.length < shortArchive) return await unpackContext(decompressed(whole), folder, { signal });
    await this.#threads.run('unpackContext', { folder }, { signal, input: whole });
  }

  /** Throws `invalid` in dockerd's words. */
  async run<Kind extends BoundedTask>(
    kind: Kind,
    request: FileTasks[Kind]['request'],
    signal: AbortSignal,
  ): Promise<FileTasks[Kind]['result']> {
    try {
      return await boundedWork[kind](request, { signal, bound: new WorkBound() });
    } catch (error) {
      if (!(error instanceof MoreWork)) throw error;
      return await this.#threads.run(kind, request, { signal });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#threads[Symbol.asyncDispose]();
  }
}
