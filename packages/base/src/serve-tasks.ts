import { parentPort } from 'node:worker_threads';
import { cancelled, type Deferred, deferred } from './async.ts';
import { codeOf, errnoOf, messageOf } from './errors.ts';
import type { TaskAnswer, TaskMessage } from './task-messages.ts';
import type { Tasks } from './task-threads.ts';

/** What a task has beside its request. */
export interface TaskContext<Progress = never> {
  /** To be called between pieces of work that does not wait for anything. */
  readonly throwIfCancelled: () => void;
  readonly signal: AbortSignal;
  /** What it was given to read; ends in `cancelled` where that failed. */
  readonly input: AsyncIterable<Buffer>;
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
  let current: { readonly input: TaskInput; readonly abort: AbortController } | undefined;
  const answer = (message: TaskAnswer): void => parentPort!.postMessage(message);
  const run = async ({
    id,
    kind,
    request,
    hasInput,
    cancel,
  }: Extract<TaskMessage, { kind: string }>): Promise<void> => {
    const flag = new Int32Array(cancel);
    const throwIfCancelled = (): void => {
      if (Atomics.load(flag, 0) !== 0) throw cancelled();
    };
    const input = new TaskInput(id, () => answer({ id, taken: true }), !hasInput);
    const abort = new AbortController();
    current = { input, abort };
    const report = (progress: unknown): void => answer({ id, progress });
    const context = { throwIfCancelled, signal: abort.signal, input: input.pieces(), report };
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
    else if (message.id !== current?.input.id) return;
    else if ('input' in message) current.input.give(message.input);
    else {
      current.abort.abort();
      current.input.give('failed');
    }
  });
  answer({ isReady: true });
}

class TaskInput {
  readonly id: number;
  readonly #onTaken: () => void;
  readonly #waiting: (Uint8Array | 'failed')[] = [];
  #isEnded: boolean;
  #more: Deferred<void> | undefined;

  constructor(id: number, onTaken: () => void, isEnded: boolean) {
    this.id = id;
    this.#onTaken = onTaken;
    this.#isEnded = isEnded;
  }

  give(piece: Uint8Array | 'end' | 'failed'): void {
    if (piece === 'end') this.#isEnded = true;
    else this.#waiting.push(piece);
    this.#more?.resolve();
  }

  async *pieces(): AsyncGenerator<Buffer, void, undefined> {
    for (;;) {
      const piece = this.#waiting.shift();
      if (piece === 'failed') throw cancelled();
      if (piece !== undefined) {
        this.#onTaken();
        yield Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
      } else if (this.#isEnded) return;
      else {
        this.#more = deferred();
        await this.#more.promise;
      }
    }
  }
}
