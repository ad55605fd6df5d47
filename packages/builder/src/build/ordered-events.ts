import { type Deferred, deferred } from '@wherry/base';
import type { BuildEvent } from '../builder.ts';

/** Bytes of output that a stage may be ahead of its turn. */
const mostAhead = 1024 * 1024;

/**
 * Puts the events of stages that run side by side into the order of the file: those of the first open stage pass, the
 * others wait. A stage never waits for a later one, so that whoever is held back goes on one day.
 */
export class OrderedEvents {
  readonly #emit: (event: BuildEvent) => void;
  readonly #closing = new Set<number>();
  /** The first stage that failed. */
  #failed = Number.POSITIVE_INFINITY;
  readonly #open = new Map<number, { events: BuildEvent[]; bytes: number; turn: Deferred<void> }>();

  constructor(emit: (event: BuildEvent) => void) {
    this.#emit = emit;
  }

  open(stage: number): void {
    if (!this.#open.has(stage)) this.#open.set(stage, { events: [], bytes: 0, turn: deferred() });
  }

  close(stage: number): void {
    this.#flush();
    const closed = this.#open.get(stage);
    if (closed === undefined) return;
    // What waits behind another stage is kept until that one has closed.
    if (closed.events.length > 0) this.#closing.add(stage);
    else this.#open.delete(stage);
    closed.turn.resolve();
    this.#flush();
  }

  /** Ends a stage that failed: what later ones did meanwhile is not told of. */
  fail(stage: number): void {
    this.#failed = Math.min(this.#failed, stage);
    for (const [later, { events, turn }] of this.#open) {
      if (later <= stage) continue;
      events.length = 0;
      turn.resolve();
    }
    this.close(stage);
  }

  /** Resolves when a stage that is far ahead may go on. */
  push(stage: number, event: BuildEvent): Promise<void> | undefined {
    if (stage > this.#failed) return undefined;
    const own = this.#open.get(stage);
    if (own === undefined || this.#first() === stage) {
      if (own) this.#flush();
      this.#emit(event);
      return undefined;
    }
    own.events.push(event);
    if (event.type === 'output') own.bytes += event.content.length;
    return own.bytes > mostAhead ? own.turn.promise : undefined;
  }

  #first(): number | undefined {
    return this.#open.size === 0 ? undefined : Math.min(...this.#open.keys());
  }

  #flush(): void {
    for (;;) {
      const stage = this.#first();
      if (stage === undefined) return;
      const own = this.#open.get(stage)!;
      for (const event of own.events.splice(0)) this.#emit(event);
      own.turn.resolve();
      if (!this.#closing.delete(stage)) return;
      this.#open.delete(stage);
    }
  }
}
