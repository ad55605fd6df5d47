import { peek, TaskThreads } from '@wherry/base';
import { decompressed } from '@wherry/images';
import { type CopyFiles, copyFiles } from '../files/copy-files.ts';
import type { SourceFacts, WantedSource } from '../files/copy-sources.ts';
import { unpackContext } from '../files/unpack-context.ts';
import { MoreWork, WorkBound } from '../files/work-bound.ts';
import type { FileTasks } from './file-task.ts';
import { describe } from './file-work.ts';

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

  /** What a word of COPY or ADD means, with checksums. Throws `invalid` in dockerd's words. */
  async describe(wanted: WantedSource, signal: AbortSignal): Promise<readonly SourceFacts[]> {
    try {
      return await describe(wanted, { signal, bound: new WorkBound() });
    } catch (error) {
      if (!(error instanceof MoreWork)) throw error;
      return await this.#threads.run('describe', wanted, { signal });
    }
  }

  /** Copies as COPY and ADD do. */
  async copy(request: CopyFiles, signal: AbortSignal): Promise<void> {
    try {
      await copyFiles(request, { signal, bound: new WorkBound() });
    } catch (error) {
      if (!(error instanceof MoreWork)) throw error;
      await this.#threads.run('copy', request, { signal });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#threads[Symbol.asyncDispose]();
  }
}
