import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { cancelled, type Deferred, deferred, Semaphore } from './async.ts';
import { ByteRing } from './byte-ring.ts';
import { messageOf, WherryError } from './errors.ts';
import { feedRing } from './feed-ring.ts';
import type { TaskAnswer, TaskMessage } from './task-messages.ts';

/** A thread without work ends after this time (ms): it holds some 15 MB. */
const idleTime = 20_000;
/** A task that is cancelled is waited for no longer than this (ms). */
const longestEnd = 5000;

/** What threads do: what each kind of task asks for, gives, and says meanwhile. All of it can be cloned. */
export type Tasks = Readonly<
  Record<string, { readonly request: object; readonly result: unknown; readonly progress?: unknown }>
>;

/** A program for threads: `packages/PACKAGE/src/workers/NAME.ts`, which calls `serveTasks`. */
export interface ThreadProgram {
  readonly package: string;
  readonly name: string;
  /** It closes descriptors that Node has not opened, of which Node warns where it keeps account of a thread's. */
  readonly opensByItself?: boolean;
}

export interface TaskOptions<Progress = unknown> {
  readonly signal?: AbortSignal | undefined;
  /** What the task reads; it is not read ahead of the task by more than a few megabytes. */
  readonly input?: AsyncIterable<Uint8Array> | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

interface Thread {
  readonly worker: Worker;
  /** Its program is loaded, or it has ended. */
  readonly ready: Deferred<void>;
  isBusy: boolean;
  task: RunningTask | undefined;
  idle: NodeJS.Timeout | undefined;
}

interface RunningTask {
  readonly id: number;
  readonly done: Deferred<unknown>;
  readonly cancel: () => void;
  readonly onProgress: ((progress: unknown) => void) | undefined;
}

const places = Math.min(4, Math.max(2, availableParallelism()));
/** Tasks of one kind that may wait at a time: for the most part they do. */
const waitingPlaces = places + 1;

/** A few threads for long work on files, started when there is some and ended when there is none. */
export class TaskThreads<Kinds extends Tasks> implements AsyncDisposable {
  readonly #program: ThreadProgram;
  readonly #slots = new Semaphore(places);
  /** Tasks that may wait, of each kind. */
  readonly #waiting = new Map<keyof Kinds, number>();
  readonly #threads = new Set<Thread>();
  #count = 0;
  #isClosed = false;

  constructor(program: ThreadProgram) {
    this.#program = program;
  }

  /** Runs a task on a thread of its own. Rejects as the task or its input does, `cancelled` once the signal says so. */
  async run<Kind extends keyof Kinds & string>(
    kind: Kind,
    request: Kinds[Kind]['request'],
    options: TaskOptions<Kinds[Kind]['progress']> = {},
  ): Promise<Kinds[Kind]['result']> {
    return await this.#slots.run(() => this.#run(kind, request, options));
  }

  /**
   * Runs a task that may wait for something slow while it runs: beside those of `run`, so that it takes no place of theirs.
   * `undefined` where some of its kind do that already: they are not waited for.
   */
  runWaiting<Kind extends keyof Kinds & string>(
    kind: Kind,
    request: Kinds[Kind]['request'],
    options: TaskOptions<Kinds[Kind]['progress']> = {},
  ): Promise<Kinds[Kind]['result']> | undefined {
    const waiting = this.#waiting.get(kind) ?? 0;
    if (waiting === waitingPlaces) return undefined;
    this.#waiting.set(kind, waiting + 1);
    return this.#run(kind, request, options).finally(() => {
      this.#waiting.set(kind, this.#waiting.get(kind)! - 1);
    });
  }

  /** Starts threads ahead of as many tasks as are about to come: it takes some 40 ms. */
  prepare(tasks: number): void {
    for (let count = this.#threads.size; count < Math.min(tasks, waitingPlaces); count++) {
      this.#start(false).then(
        (thread) => {
          if (!thread.isBusy) this.#rest(thread);
        },
        // Whoever needs it is told.
        () => undefined,
      );
    }
  }

  /**
   * Takes a place of `run` for a task of `runWaiting` until it ends, once there is a free one: it waits no more, and those
   * that would work beside it only share the same processors.
   */
  takePlace(task: Promise<unknown>): void {
    this.#slots.run(() => task).catch(() => undefined);
  }

  /** Cancels what is done, and ends the threads. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#threads].map(endThread));
  }

  async #run<Kind extends keyof Kinds & string>(
    kind: Kind,
    request: Kinds[Kind]['request'],
    { signal, input, onProgress }: TaskOptions<Kinds[Kind]['progress']>,
  ): Promise<Kinds[Kind]['result']> {
    if (signal?.aborted) throw cancelled(signal);
    if (this.#isClosed) throw closed();
    const thread = await this.#take();
    const cancel = new SharedArrayBuffer(4);
    const id = ++this.#count;
    const ring = input && new ByteRing();
    const over = new AbortController();
    const task: RunningTask = {
      ...{ id, done: deferred() },
      onProgress: onProgress as RunningTask['onProgress'],
      cancel: () => {
        Atomics.store(new Int32Array(cancel), 0, 1);
        ring?.fail();
        send(thread, { id, isCancelled: true });
      },
    };
    signal?.addEventListener('abort', task.cancel);
    thread.task = task;
    let fault: { readonly error: unknown } | undefined;
    try {
      thread.worker.ref();
      send(thread, { id: task.id, kind, request, input: ring?.shared, cancel });
      if (ring) {
        feedRing(ring, input, over.signal).catch((error: unknown) => {
          fault = { error };
          ring.fail();
        });
      }
      return await task.done.promise;
    } catch (error) {
      throw fault ? fault.error : error;
    } finally {
      over.abort();
      ring?.close();
      signal?.removeEventListener('abort', task.cancel);
      this.#rest(thread);
    }
  }

  async #take(): Promise<Thread> {
    for (const thread of this.#threads) {
      if (thread.isBusy) continue;
      thread.isBusy = true;
      clearTimeout(thread.idle);
      return thread;
    }
    return await this.#start(true);
  }

  async #start(isBusy: boolean): Promise<Thread> {
    const worker = await startWorker(this.#program);
    const thread: Thread = { worker, ready: deferred(), isBusy, task: undefined, idle: undefined };
    this.#threads.add(thread);
    worker.on('message', (answer: TaskAnswer) => hear(thread, answer));
    const end = (error: Error): void => {
      this.#threads.delete(thread);
      thread.ready.resolve();
      thread.task?.done.reject(error);
    };
    // Of a task whose thread fails nobody has said that it is not wanted any more.
    const failed = (why: string, cause?: unknown): void =>
      end(new WherryError('internal', `a thread ${why}`, { cause }));
    worker.on('error', (error) => failed(`failed: ${messageOf(error)}`, error));
    worker.on('exit', () => (this.#isClosed ? end(closed()) : failed('ended while it worked')));
    if (!this.#isClosed) return thread;
    void endThread(thread);
    throw closed();
  }

  #rest(thread: Thread): void {
    thread.task = undefined;
    thread.isBusy = false;
    thread.worker.unref();
    thread.idle = setTimeout(() => {
      this.#threads.delete(thread);
      void thread.worker.terminate();
    }, idleTime);
    thread.idle.unref();
  }
}

/** A thread that is ended while it declares functions of a library, as each does when it begins, takes the process with it (koffi). */
async function endThread({ worker, ready, task }: Thread): Promise<void> {
  task?.cancel();
  const patience = new AbortController();
  const done = Promise.all([ready.promise, task?.done.promise.catch(() => undefined)]);
  const late = delay(longestEnd, undefined, { ref: false, signal: patience.signal }).catch(() => undefined);
  await Promise.race([done, late]);
  patience.abort();
  await worker.terminate();
}

function closed(): WherryError {
  return new WherryError('cancelled', 'the threads were ended');
}

function send({ worker }: Thread, message: TaskMessage): void {
  worker.postMessage(message);
}

function hear({ task, ready }: Thread, answer: TaskAnswer): void {
  if ('isReady' in answer) {
    ready.resolve();
    return;
  }
  if (task?.id !== answer.id) return;
  if ('progress' in answer) task.onProgress?.(answer.progress);
  else if ('error' in answer) task.done.reject(new WherryError(answer.error.code, answer.error.message));
  else task.done.resolve(answer.result);
}

async function startWorker(program: ThreadProgram): Promise<Worker> {
  // 64 MB of young generation would be the default for buffers that live for a moment.
  const options = {
    resourceLimits: { maxYoungGenerationSizeMb: 16 },
    trackUnmanagedFds: program.opensByItself !== true,
  };
  if (!import.meta.url.endsWith('.ts')) {
    return new Worker(new URL(`./workers/${program.name}.js`, import.meta.url), options);
  }
  return new Worker(await bundleFromSource(program), { ...options, eval: true });
}

const bundles = new Map<string, Promise<string>>();

/** From source, as tests run: Node 20 cannot load TypeScript, so that the thread's program is bundled as the product's is. */
function bundleFromSource(program: ThreadProgram): Promise<string> {
  const { href } = new URL(import.meta.url);
  const folder = `${href.slice(0, href.lastIndexOf('/packages/'))}/packages/${program.package}/src/workers/`;
  const entry = new URL(`${program.name}.ts`, folder).pathname;
  const known = bundles.get(entry);
  if (known) return known;
  const bundled = (async () => {
    const bundler: string = 'esbuild';
    const { build } = (await import(bundler)) as typeof import('esbuild');
    const result = await build({
      entryPoints: [entry],
      bundle: true,
      format: 'cjs',
      platform: 'node',
      target: 'node20',
      external: ['koffi', 'lmdb'],
      write: false,
      logLevel: 'error',
    });
    // A program without a file would look for packages in the working directory.
    const required = `require('node:module').createRequire(${JSON.stringify(folder)})`;
    return `((require) => {${result.outputFiles[0]!.text}\n})(${required});`;
  })();
  bundles.set(entry, bundled);
  return bundled;
}
