import type { Digest } from '@wherry/oci';
import type { GrowingFileHandle } from '../content/growing-file.ts';
import type { Received, ReceiveProgress, ReceiveRequest } from '../content/receive-blob.ts';
import type { ImpliedFolder } from '../layers/implied-folders.ts';
import type { Packed, PackRequest } from '../layers/pack-changes.ts';
import type { Unpacked, UnpackLimits } from '../layers/unpack.ts';
import type { ArrivalProgress, ArrivalRequest, ArrivedMember } from './arrival-task.ts';

export interface UnpackedLayer extends Unpacked {
  /** Of the plain content, where it was not known; still not known of what is hashed elsewhere. */
  readonly diffId: Digest | undefined;
  readonly tarBytes: number;
  readonly implied: readonly ImpliedFolder[];
}

/** Work on whole layers, which is done beside the event loop. */
export type LayerTasks = {
  readonly pack: { readonly request: PackRequest; readonly result: Packed };
  readonly unpack: {
    readonly request: {
      /** The tar, compressed or not: a whole file, or one that is still being written. */
      readonly blob: string | GrowingFileHandle;
      /** `undefined` where it is not known yet. */
      readonly diffId: Digest | undefined;
      /**
       * The blob was hashed when it came, or is while it does: where it is no compressed one, nothing is to be learnt from
       * hashing it again.
       */
      readonly isHashed: boolean;
      /** Empty. */
      readonly folder: string;
      /** Topmost first; `undefined` while they are not there. */
      readonly lower: readonly string[] | undefined;
      readonly limits: UnpackLimits;
    };
    /** `undefined`: the layers below must be there before. */
    readonly result: UnpackedLayer | undefined;
  };
  readonly settle: {
    readonly request: {
      readonly folder: string;
      /** Topmost first. */
      readonly lower: readonly string[];
      readonly implied: readonly ImpliedFolder[];
    };
    /** False: it must be unpacked anew, with the layers below. */
    readonly result: boolean;
  };
  readonly compress: {
    readonly request: { readonly blob: string; readonly target: string };
    /** Of the gzip of it, which is not synced. */
    readonly result: { readonly digest: Digest; readonly size: number };
    /** Bytes of the blob and of the target. */
    readonly progress: { readonly read: number; readonly written: number };
  };
  readonly arrive: {
    readonly request: ArrivalRequest;
    readonly result: readonly ArrivedMember[];
    readonly progress: ArrivalProgress;
  };
  readonly hash: {
    readonly request: { readonly blob: string; readonly algorithm: 'sha256' | 'sha512' };
    readonly result: Digest;
  };
  readonly receive: {
    readonly request: ReceiveRequest;
    readonly result: Received;
    readonly progress: ReceiveProgress;
  };
};
