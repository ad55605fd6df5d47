import type { TaskWork } from '@wherry/base';
import { decompressed } from '@wherry/images';
import { copyFiles } from '../files/copy-files.ts';
import { describeSources } from '../files/copy-sources.ts';
import { copyFolder, identifyContent } from '../files/mount-content.ts';
import { unpackContext } from '../files/unpack-context.ts';
import type { WorkBound } from '../files/work-bound.ts';
import type { BoundedTask, FileTasks } from './file-task.ts';

/** Each throws `MoreWork` beyond its bound, if it has one, before it has changed anything. */
type BoundedWork = {
  readonly [Kind in BoundedTask]: (
    request: FileTasks[Kind]['request'],
    options: { readonly signal: AbortSignal; readonly bound?: WorkBound },
  ) => Promise<FileTasks[Kind]['result']>;
};

export const boundedWork: BoundedWork = {
  describe: describeSources,
  copy: async (request, options) => {
    await copyFiles(request, options);
    return undefined;
  },
  identifyContent,
  copyFolder,
};

/** What a thread does with files. */
export const fileWork: TaskWork<FileTasks> = {
  ...boundedWork,
  unpackContext: async ({ folder }, { input, signal }) => {
    await unpackContext(decompressed(input()), folder, { signal });
    return undefined;
  },
};
