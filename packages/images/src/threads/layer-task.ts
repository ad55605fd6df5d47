import type { ErrorCode } from '@wherry/base';
import type { Digest } from '@wherry/oci';
import type { ImpliedFolder } from '../layers/implied-folders.ts';
import type { Packed, PackRequest } from '../layers/pack-changes.ts';
import type { Unpacked, UnpackLimits } from '../layers/unpack.ts';

/** Work on whole layers, which is done beside the event loop. */
export type LayerTask =
  | ({ readonly kind: 'pack' } & PackRequest)
  | {
      readonly kind: 'unpack';
      /** The tar, compressed or not. */
      readonly blob: string;
      readonly diffId: Digest;
      /** Empty. */
      readonly folder: string;
      /** Topmost first; `undefined` while they are not there. */
      readonly lower: readonly string[] | undefined;
      readonly limits: UnpackLimits;
    }
  | {
      readonly kind: 'settle';
      readonly folder: string;
      /** Topmost first. */
      readonly lower: readonly string[];
      readonly implied: readonly ImpliedFolder[];
    }
  | { readonly kind: 'compress'; readonly blob: string; readonly target: string };

export interface LayerResults {
  readonly pack: Packed;
  /** `undefined`: the layers below must be there before. */
  readonly unpack: (Unpacked & { readonly tarBytes: number; readonly implied: readonly ImpliedFolder[] }) | undefined;
  /** False: it must be unpacked anew, with the layers below. */
  readonly settle: boolean;
  readonly compress: { readonly digest: Digest; readonly size: number };
}

export interface TaskMessage {
  readonly id: number;
  readonly task: LayerTask;
  /** One word: not 0 once the task is to end. */
  readonly cancel: SharedArrayBuffer;
}

export type TaskAnswer =
  | { readonly id: number; readonly result: LayerResults[LayerTask['kind']] }
  | { readonly id: number; readonly error: { readonly code: ErrorCode; readonly message: string } };
