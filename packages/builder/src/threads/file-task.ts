import type { CopyFiles } from '../files/copy-files.ts';
import type { SourceFacts, WantedSource } from '../files/copy-sources.ts';
import type { FolderCopy, MountContent } from '../files/mount-content.ts';

/** Work on the files of contexts and steps, which is done beside the event loop where there is much of it. */
export type FileTasks = {
  /** Unpacks its input, an archive that may be compressed. */
  readonly unpackContext: { readonly request: { readonly folder: string }; readonly result: undefined };
  /** What a word of COPY or ADD means, with checksums. */
  readonly describe: { readonly request: WantedSource; readonly result: readonly SourceFacts[] };
  /** Copies as COPY and ADD do. */
  readonly copy: { readonly request: CopyFiles; readonly result: undefined };
  readonly identifyContent: { readonly request: MountContent; readonly result: string | undefined };
  readonly copyFolder: { readonly request: FolderCopy; readonly result: boolean };
};

/** Work of which little is done at once. */
export type BoundedTask = Exclude<keyof FileTasks, 'unpackContext'>;
