import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { type Deferred, deferred } from '@wherry/base';
import { refusal } from '../refusal.ts';

/** Comparisons that may wait: each takes some 50 ms of a processor, and anybody can ask for one. */
const mostWaiting = 200;

/** Compares passwords on a thread of its own, one after the other; the thread starts when it is needed. */
export class BcryptCompare implements AsyncDisposable {
  #worker: Worker | undefined;
  #last = 0;
  readonly #waiting = new Map<number, Deferred<boolean>>();

  /** Throws TOOMANYREQUESTS. */
  async compare(password: string, hash: string): Promise<boolean> {
    if (this.#waiting.size >= mostWaiting)
      throw refusal('TOOMANYREQUESTS', 'too many logins at once', { headers: { 'Retry-After': '5' } });
    const answer = deferred<boolean>();
    const id = ++this.#last;
    this.#waiting.set(id, answer);
    const worker = this.#worker ?? this.#start();
    if (worker) worker.postMessage({ id, password, hash });
    else void compareHere(password, hash).then(answer.resolve, answer.reject);
    try {
      return await answer.promise;
    } finally {
      this.#waiting.delete(id);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker?.terminate();
  }

  /** `undefined` where the program was not built: a thread cannot run TypeScript. */
  #start(): Worker | undefined {
    const file = fileURLToPath(new URL('./workers/bcrypt.js', import.meta.url));
    if (!existsSync(file)) return undefined;
    const worker = new Worker(file);
    worker.unref();
    worker.on('message', ({ id, right }: { id: number; right: boolean }) => this.#waiting.get(id)?.resolve(right));
    worker.on('error', (error) => {
      this.#worker = undefined;
      for (const answer of this.#waiting.values()) answer.reject(error);
    });
    this.#worker = worker;
    return worker;
  }
}

async function compareHere(password: string, hash: string): Promise<boolean> {
  const { compare } = await import('bcryptjs');
  return await compare(password, hash);
}
