import { type Deferred, deferred } from '@wherry/base';
import type { AttachOptions, StreamSession } from '@wherry/runtime';
import { type Attachable, type Attachment, attachment } from './attach.ts';

interface Waiting {
  readonly attachment: Attachment;
  readonly exit: Deferred<number>;
}

/** Sessions that wait for the next start of a container. */
export class EarlyAttachments {
  readonly #waiting = new Map<string, Set<Waiting>>();

  add(id: string, options: AttachOptions): StreamSession {
    const exit = deferred<number>();
    exit.promise.catch(() => undefined);
    const made = attachment(options, exit.promise);
    const entry = { attachment: made, exit };
    const all = this.#waiting.get(id) ?? new Set();
    this.#waiting.set(id, all.add(entry));
    return {
      ...made.session,
      [Symbol.asyncDispose]: async () => {
        this.#withdraw(id, entry);
        await made.session[Symbol.asyncDispose]();
      },
    };
  }

  #withdraw(id: string, entry: Waiting): void {
    const all = this.#waiting.get(id);
    if (all?.delete(entry) === true && all.size === 0) this.#waiting.delete(id);
  }

  /**
   * Joins them to a container that was created and not yet let go. conmon looks at its attach socket before the
   * container's output, so that what waits there misses nothing.
   */
  join(id: string, container: Attachable, exited: Promise<number>): void {
    const all = this.#waiting.get(id);
    this.#waiting.delete(id);
    for (const { attachment: made, exit } of all ?? []) {
      exited.then(exit.resolve, exit.reject);
      try {
        made.connect(container);
      } catch (error) {
        made.fail(error);
      }
    }
  }

  /** The container could not be started, or was removed before. */
  fail(id: string, error: unknown): void {
    const all = this.#waiting.get(id);
    this.#waiting.delete(id);
    for (const { attachment: made } of all ?? []) made.fail(error);
  }
}
