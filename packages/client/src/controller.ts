import { codeOf, type Logger, messageOf } from '@wherry/base';
import type { WorkQueue } from './work-queue.ts';

/** What a reconcile may ask for: to be called again for the same key after `after` milliseconds. */
export type ReconcileResult = { readonly after: number } | undefined;

/** A control loop: keys in, reconcile out. */
export interface ControllerOptions {
  readonly name: string;
  readonly queue: WorkQueue;
  readonly reconcile: (key: string, signal: AbortSignal) => Promise<ReconcileResult> | Promise<void>;
  /** Keys worked on at the same time (never the same key twice). Default 4. */
  readonly workers?: number;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Failures that are part of normal life: somebody else was faster, or the object is gone. */
const expected = new Set(['conflict', 'notFound', 'alreadyExists', 'gone']);

/** Runs a control loop until the signal fires; a failed key is tried again with back-off. The queue is closed at the end. */
export async function runController(options: ControllerOptions): Promise<void> {
  const { queue, signal, workers = 4 } = options;
  const log = options.log.with({ controller: options.name });
  const close = (): void => queue.close();
  if (signal.aborted) close();
  else signal.addEventListener('abort', close, { once: true });
  const work = async (): Promise<void> => {
    for (;;) {
      const key = await queue.get();
      if (key === undefined) return;
      try {
        const result = await options.reconcile(key, signal);
        queue.forget(key);
        if (result) queue.addAfter(key, result.after);
      } catch (error) {
        if (signal.aborted) continue;
        const code = codeOf(error);
        const note = { key, error: messageOf(error), retries: queue.retries(key) };
        if (code !== undefined && expected.has(code)) log.debug('reconcile is tried again', note);
        else log.warn('reconcile failed', note);
        queue.addRateLimited(key);
      } finally {
        queue.done(key);
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: workers }, work));
  } finally {
    signal.removeEventListener('abort', close);
    close();
  }
}
