import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { cancelled, type Deferred, deferred, Semaphore, WherryError } from '@wherry/base';
import type { LayerResults, LayerTask, TaskAnswer } from './layer-task.ts';

/** A thread without work ends after this time (ms): it holds some 15 MB. */
const idleTime = 20_000;

interface Thread {
  readonly worker: Worker;
  isBusy: boolean;
  task: { readonly id: number; readonly done: Deferred<unknown> } | undefined;
  idle: NodeJS.Timeout | undefined;
}

/** A few threads for work on layers, started when there is some and ended when there is none. */
export class LayerThreads implements AsyncDisposable {
  readonly #slots = new Semaphore(Math.min(4, Math.max(2, availableParallelism())));
  readonly #threads = new Set<Thread>();
  #count = 0;

  /** Runs a task on a thread of its own. Rejects as the task does, `cancelled` once the signal says so. */
  async run<Kind extends LayerTask['kind']>(
    task: Extract<LayerTask, { readonly kind: Kind }>,
    signal?: AbortSignal,
  ): Promise<LayerResults[Kind]> {
    return await this.#slots.run(async () => {
      if (signal?.aborted) throw cancelled(signal);
      const thread = await this.#take();
      const cancel = new SharedArrayBuffer(4);
      const abort = (): void => void Atomics.store(new Int32Array(cancel), 0, 1);
      signal?.addEventListener('abort', abort);
      const current = { id: ++this.#count, done: deferred<unknown>() };
      thread.task = current;
      try {
        thread.worker.ref();
        thread.worker.postMessage({ id: current.id, task, cancel });
        return (await current.done.promise) as LayerResults[Kind];
      } finally {
        signal?.removeEventListener('abort', abort);
        this.#rest(thread);
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#threads].map(({ worker }) => worker.terminate()));
  }

  async #take(): Promise<Thread> {
    for (const thread of this.#threads) {
      if (thread.isBusy) continue;
      thread.isBusy = true;
      clearTimeout(thread.idle);
      return thread;
    }
    const worker = await startWorker();
    const thread: Thread = { worker, isBusy: true, task: undefined, idle: undefined };
    this.#threads.add(thread);
    worker.on('message', (answer: TaskAnswer) => {
      if (thread.task?.id !== answer.id) return;
      if ('error' in answer) thread.task.done.reject(new WherryError(answer.error.code, answer.error.message));
      else thread.task.done.resolve(answer.result);
    });
    const end = (error: Error): void => {
      this.#threads.delete(thread);
      thread.task?.done.reject(error);
    };
    worker.on('error', end);
    worker.on('exit', () => end(new WherryError('cancelled', 'the image store was closed')));
    return thread;
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

async function startWorker(): Promise<Worker> {
  // 64 MB of young generation would be the default for buffers that live for a moment.
  const options = { resourceLimits: { maxYoungGenerationSizeMb: 16 } };
  if (!import.meta.url.endsWith('.ts')) {
    return new Worker(new URL('./workers/image-layers.js', import.meta.url), options);
  }
  return new Worker(await bundleFromSource(), { ...options, eval: true });
}

let bundled: Promise<string> | undefined;

/** From source, as tests run: Node 20 cannot load TypeScript, so that the thread's program is bundled as the product's is. */
function bundleFromSource(): Promise<string> {
  bundled ??= (async () => {
    const bundler: string = 'esbuild';
    const { build } = (await import(bundler)) as typeof import('esbuild');
    const { href } = new URL(import.meta.url);
    const folder = `${href.slice(0, href.lastIndexOf('/packages/'))}/packages/images/src/workers/`;
    const result = await build({
      entryPoints: [new URL('image-layers.ts', folder).pathname],
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
  return bundled;
}
