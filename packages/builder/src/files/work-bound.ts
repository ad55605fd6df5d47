/** Thrown where there is more to do than the event loop should have between other things. */
export class MoreWork extends Error {}

/** How much is done on the event loop, where a thread would take longer to begin than the work takes. */
export class WorkBound {
  #entries = 300;
  #bytes = 4 * 1024 * 1024;

  /** Counts one file. Throws `MoreWork`. */
  take(bytes: number): void {
    this.#entries--;
    this.#bytes -= bytes;
    if (this.#entries < 0 || this.#bytes < 0) throw new MoreWork();
  }
}
