/** Thrown where there is more to do than the event loop should have between other things. */
export class MoreWork extends Error {}

/** How much is done on the event loop, where a thread would take longer to begin than the work takes. */
export class WorkBound {
  #entries = 300;
  #bytes = 4 * 1024 * 1024;

  /** Counts one file. Throws `MoreWork`. */
  count(): void {
    if (--this.#entries < 0) throw new MoreWork();
  }

  /** Counts what is to be read of a file. Throws `MoreWork`. */
  weigh(bytes: number): void {
    this.#bytes -= bytes;
    if (this.#bytes < 0) throw new MoreWork();
  }
}
