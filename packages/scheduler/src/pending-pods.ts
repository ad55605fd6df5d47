import type { V1Pod } from '@wherry/api';
import type { Clock } from '@wherry/base';
import { backoffDelay, keyOf } from '@wherry/client';

const firstDelay = 10;
const longestDelay = 10_000;

interface Waiting {
  readonly pod: V1Pod;
  readonly attempts: number;
  readonly notBefore: number;
}

/**
 * Pods without a node: those to try now, by priority and age, and those that found none and wait
 * for the cluster to change. A change tries them again at once, unless they failed just before:
 * then after a back-off from 10 ms to 10 s. `wake` is called when there is something to try.
 */
export class PendingPods {
  readonly #active = new Map<string, V1Pod>();
  readonly #waiting = new Map<string, Waiting>();
  readonly #attempts = new Map<string, number>();
  readonly #clock: Clock;
  readonly #wake: () => void;
  #timer: { at: number; timer: Disposable } | undefined;

  constructor(clock: Clock, wake: () => void) {
    this.#clock = clock;
    this.#wake = wake;
  }

  get size(): number {
    return this.#active.size + this.#waiting.size;
  }

  put(pod: V1Pod): void {
    const key = keyOf(pod);
    this.#waiting.delete(key);
    this.#active.set(key, pod);
    this.#wake();
  }

  /** The pod as last put, whether it waits or not. */
  get(key: string): V1Pod | undefined {
    return this.#active.get(key) ?? this.#waiting.get(key)?.pod;
  }

  remove(key: string): void {
    this.#active.delete(key);
    this.#waiting.delete(key);
    this.#attempts.delete(key);
  }

  /** Sets a pod aside after a failed attempt. */
  failed(pod: V1Pod): void {
    const key = keyOf(pod);
    const attempts = (this.#attempts.get(key) ?? 0) + 1;
    this.#attempts.set(key, attempts);
    const notBefore = this.#clock.now() + backoffDelay(attempts, firstDelay, longestDelay);
    this.#waiting.set(key, { pod, attempts, notBefore });
  }

  /** The cluster changed: tries those that may profit, now or when their back-off is over. */
  retry(concerns: (pod: V1Pod) => boolean = () => true): void {
    let next: number | undefined;
    for (const { pod, notBefore } of [...this.#waiting.values()]) {
      if (!concerns(pod)) continue;
      if (notBefore <= this.#clock.now()) this.put(pod);
      else next = Math.min(next ?? notBefore, notBefore);
    }
    if (next === undefined || (this.#timer && this.#timer.at <= next)) return;
    this.#timer?.timer[Symbol.dispose]();
    const timer = this.#clock.after(next - this.#clock.now(), () => {
      this.#timer = undefined;
      this.retry(concerns);
    });
    this.#timer = { at: next, timer };
  }

  /** Takes everything that is to be tried, most important first. */
  take(): V1Pod[] {
    const pods = [...this.#active.values()];
    this.#active.clear();
    if (pods.length > 1)
      pods.sort(
        (a, b) =>
          (b.spec?.priority ?? 0) - (a.spec?.priority ?? 0) ||
          compareText(a.metadata?.creationTimestamp ?? '', b.metadata?.creationTimestamp ?? ''),
      );
    return pods;
  }

  close(): void {
    this.#timer?.timer[Symbol.dispose]();
    this.#active.clear();
    this.#waiting.clear();
  }
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
