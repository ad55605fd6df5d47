import type { Logger } from '@wherry/base';

/** Work that nobody waits for: the end of a file system takes as long as the disk. Failures are logged. */
export class BackgroundWork {
  readonly #log: Logger;
  readonly #pending = new Set<Promise<void>>();

  constructor(log: Logger) {
    this.#log = log;
  }

  add(container: string, work: Promise<void>): void {
    const noted = work
      .catch((error: unknown) => this.#log.error('a container was not cleaned up', { container, error }))
      .finally(() => this.#pending.delete(noted));
    this.#pending.add(noted);
  }

  /** Resolves when all is done. */
  async settled(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending);
  }
}
