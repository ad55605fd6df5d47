import type { TaskWork } from '@wherry/base';
import { decompressed } from '@wherry/images';
import { copyFiles } from '../files/copy-files.ts';
import { describeSource, findSources, type SourceFacts, type WantedSource } from '../files/copy-sources.ts';
import { unpackContext } from '../files/unpack-context.ts';
import type { WorkBound } from '../files/work-bound.ts';
import type { FileTasks } from './file-task.ts';

/** What a thread does with files. */
export const fileWork: TaskWork<FileTasks> = {
  unpackContext: async ({ folder }, { input, signal }) => {
    await unpackContext(decompressed(input), folder, { signal });
    return undefined;
  },
  describe: (wanted, { signal }) => describe(wanted, { signal }),
  copy: async (request, { signal }) => {
    await copyFiles(request, { signal });
    return undefined;
  },
};

/** What a word of COPY or ADD means, with checksums. Throws `MoreWork` beyond the bound. */
export async function describe(
  wanted: WantedSource,
  options: { readonly signal: AbortSignal; readonly bound?: WorkBound | undefined },
): Promise<readonly SourceFacts[]> {
  const facts: SourceFacts[] = [];
  for (const source of await findSources(wanted, options)) facts.push(await describeSource(source, options.signal));
  return facts;
}
