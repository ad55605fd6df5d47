import { AsyncQueue, type Clock, codeOf } from '@wherry/base';
import type { Container } from '../containers/container.ts';
import type { JsonObject } from '../containers/containers.ts';
import type { DockerContext } from '../containers/context.ts';
import { emptyStats, type Sample, statsObject, takeSample } from './sample.ts';

const interval = 1000;

/**
 * Readings of containers. The last one of each is kept, from its start on, so that a second one can be set against it
 * at once; a timer runs only while somebody follows.
 */
export class StatsSource {
  readonly #context: DockerContext;
  readonly #last = new Map<string, Sample>();
  readonly #queues = new Set<AsyncQueue<JsonObject>>();

  constructor(context: DockerContext) {
    this.#context = context;
  }

  /** A first reading, which nobody waits for. */
  began(container: Container): void {
    this.#sample(container).catch(() => undefined);
  }

  forget({ id }: Container): void {
    this.#last.delete(id);
  }

  async #sample(container: Container): Promise<Sample> {
    const sample = await takeSample(this.#context, container);
    if (container.alive) this.#last.set(container.id, sample);
    return sample;
  }

  /** One object, or one a second until the signal or the container's end. */
  async *read(
    container: Container,
    options: { readonly stream: boolean; readonly oneShot: boolean },
    signal: AbortSignal,
  ): AsyncGenerator<JsonObject, void, undefined> {
    const clock: Clock = this.#context.clock;
    do {
      if (signal.aborted) return;
      yield await this.#object(container, options.oneShot);
      if (!options.stream) return;
      if (container.phase === 'removing' || this.#context.registry.get(container.id) === undefined) return;
      await this.#pause(clock, signal);
    } while (!signal.aborted);
  }

  async #object(container: Container, oneShot: boolean): Promise<JsonObject> {
    const identity = { name: `/${container.name}`, id: container.id };
    if (!container.alive) return emptyStats(identity);
    const before = oneShot ? undefined : this.#last.get(container.id);
    try {
      return statsObject(identity, await this.#sample(container), before);
    } catch (error) {
      // It has ended meanwhile.
      if (codeOf(error) === 'conflict' || codeOf(error) === 'notFound') return emptyStats(identity);
      throw error;
    }
  }

  async #pause(clock: Clock, signal: AbortSignal): Promise<void> {
    const queue = new AsyncQueue<JsonObject>();
    this.#queues.add(queue);
    const end = (): void => queue.end();
    const timer = clock.after(interval, end);
    signal.addEventListener('abort', end, { once: true });
    for await (const _ of queue);
    signal.removeEventListener('abort', end);
    timer[Symbol.dispose]();
    this.#queues.delete(queue);
  }

  [Symbol.dispose](): void {
    for (const queue of this.#queues) queue.end();
    this.#last.clear();
  }
}
