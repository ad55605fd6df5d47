import { messageOf } from './errors.ts';
import type { Logger } from './log.ts';

/**
 * Disposes what it was given in reverse order. Node 20 has no AsyncDisposableStack; this one logs
 * a failing disposer and goes on, because clean-up must not hide the first error.
 */
export class DisposalStack implements AsyncDisposable {
  readonly #disposers: { name: string; dispose: () => unknown }[] = [];
  readonly #log: Logger | undefined;
  #disposed = false;

  constructor(log?: Logger) {
    this.#log = log;
  }

  /** Takes over a resource and gives it back for use. */
  use<T extends AsyncDisposable | Disposable>(resource: T, name = 'resource'): T {
    const dispose =
      Symbol.asyncDispose in resource
        ? () => (resource as AsyncDisposable)[Symbol.asyncDispose]()
        : () => (resource as Disposable)[Symbol.dispose]();
    this.defer(dispose, name);
    return resource;
  }

  /** Calls `dispose` when the stack is disposed. */
  defer(dispose: () => unknown, name = 'clean-up'): void {
    this.#disposers.push({ name, dispose });
  }

  /** Moves everything into a new stack: this one becomes empty (for constructors that succeeded). */
  move(): DisposalStack {
    const next = new DisposalStack(this.#log);
    next.#disposers.push(...this.#disposers.splice(0));
    return next;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const { name, dispose } of this.#disposers.splice(0).reverse()) {
      try {
        await dispose();
      } catch (error) {
        this.#log?.error('clean-up failed', { of: name, error: messageOf(error) });
      }
    }
  }
}
