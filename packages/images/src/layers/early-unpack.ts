import type { LayerTasks } from '../threads/layer-task.ts';

type Unpacked = LayerTasks['unpack']['result'];

/** A layer that is unpacked while its blob comes; `LayerStore.unpack` takes it over. Dispose it in any case. */
export class EarlyUnpack implements AsyncDisposable {
  /** `undefined` where it came to nothing, for whatever reason: the whole blob says whether something is wrong. */
  readonly result: Promise<Unpacked>;
  readonly path: string;
  /** Whether it runs beside the threads that work, since it waits for what is still to come. */
  readonly isBeside: boolean;
  #isTaken = false;
  readonly #stop: AbortController;
  readonly #temporary: AsyncDisposable;

  /** `stop` ends `work`, which unpacks into the temporary folder. */
  constructor(
    temporary: AsyncDisposable & { readonly path: string },
    work: Promise<Unpacked>,
    { stop, isBeside }: { readonly stop: AbortController; readonly isBeside: boolean },
  ) {
    this.path = temporary.path;
    this.isBeside = isBeside;
    this.#temporary = temporary;
    this.#stop = stop;
    this.result = work.catch(async () => {
      // At once: what fails may have filled the disk.
      await temporary[Symbol.asyncDispose]();
      return undefined;
    });
  }

  /** What is unpacked becomes one layer: false for whoever wants to make another of the same blob. */
  take(): boolean {
    if (this.#isTaken) return false;
    this.#isTaken = true;
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.result;
    await this.#temporary[Symbol.asyncDispose]();
  }
}
