import type { ErrorCode } from './errors.ts';

/** To a thread: a task, or that it is to end. */
export type TaskMessage =
  | {
      readonly id: number;
      readonly kind: string;
      readonly request: object;
      /** A `ByteRing`. */
      readonly input: SharedArrayBuffer | undefined;
      /** One word: not 0 once the task is to end, for tasks that hear no messages meanwhile. */
      readonly cancel: SharedArrayBuffer;
    }
  | { readonly id: number; readonly isCancelled: true };

/** From a thread: that it has begun, what came of a task, or how far it is. */
export type TaskAnswer =
  | { readonly isReady: true }
  | { readonly id: number; readonly progress: unknown }
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: { readonly code: ErrorCode; readonly message: string } };
