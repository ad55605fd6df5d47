import { parentPort } from 'node:worker_threads';
import { cancelled } from './async.ts';
import { type ReadRingOptions, readRing } from './byte-ring.ts';
import { codeOf, errnoOf, messageOf } from './errors.ts';
import type { TaskAnswer, TaskMessage } from './task-messages.ts';
import type { Tasks } from './task-threads.ts';

/** What a task has beside its request. */
export interface TaskContext<Progress = never> {
  /** To be called between pieces of work that does not wait for anything. */
  readonly throwIfCancelled: () => void;
  readonly signal: AbortSignal;
  /** What it was given to read; ends in `cancelled` where that failed. */
  readonly input: (options?: ReadRingOptions) => AsyncIterable<Buffer>;
  /** Says how far it is. */
  readonly report: (progress: Progress) => void;
}

/** How a thread does each kind of task. */
export type TaskWork<Kinds extends Tasks> = {
  readonly [Kind in keyof Kinds]: (
    request: Kinds[Kind]['request'],
    context: TaskContext<Kinds[Kind]['progress']>,
  ) => Kinds[Kind]['result'] | Promise<Kinds[Kind]['result']>;
};

/** The program of a thread of `TaskThreads`: does one task at a time. */
export function serveTasks<Kinds extends Tasks>(work: TaskWork<Kinds>): void {
  let current: { readonly id: number; readonly abort: AbortController } | undefined;
  const answer = (message: TaskAnswer): void => parentPort!.postMessage(message);
  const run = async ({
    id,
    kind,
    request,
    input: ring,
    cancel,
  }: Extract<TaskMessage, { kind: string }>): Promise<void> => {
    const flag = new Int32Array(cancel);
    const throwIfCancelled = (): void => {
      if (Atomics.load(flag, 0) !== 0) throw cancelled();
    };
    const input = (options?: ReadRingOptions) => (ring ? readRing(ring, options) : nothing());
    const abort = new AbortController();
    current = { id, abort };
    const report = (progress: unknown): void => answer({ id, progress });
    const context = { throwIfCancelled, signal: abort.signal, input, report };
    try {
      const result = await work[kind]!(request, context);
      answer({ id, result });
    } catch (error) {
      const code = codeOf(error) ?? (errnoOf(error) === 'ENOSPC' ? 'exhausted' : 'internal');
      answer({ id, error: { code, message: messageOf(error) } });
    }
  };
  parentPort!.on('message', (message: TaskMessage) => {
    if ('kind' in message) void run(message);
    else if (message.id === current?.id) current.abort.abort();
  });
  answer({ isReady: true });
}

async function* nothing(): AsyncGenerator<Buffer, void, undefined> {}
