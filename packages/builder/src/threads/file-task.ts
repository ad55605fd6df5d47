import type { CopyFiles } from '../files/copy-files.ts';
import type { SourceFacts, WantedSource } from '../files/copy-sources.ts';

/** Work on the files of contexts and steps, which is done beside the event loop where there is much of it. */
export type FileTasks = {
  /** Unpacks its input, an archive that may be compressed. */
  readonly unpackContext: { readonly request: { readonly folder: string }; readonly result: undefined };
  readonly describe: { readonly request: WantedSource; readonly result: readonly SourceFacts[] };
  readonly copy: { readonly request: CopyFiles; readonly result: undefined };
};
