import { constants, type PerformanceEntry, PerformanceObserver } from 'node:perf_hooks';
import type { Clock, Logger } from '@wherry/base';
import { releaseFreeMemory } from '@wherry/linux';

/** Without a collection for this long, the process is at rest. */
const quiet = 10_000;
/** What memory must have grown since it was last given back, for it to be worth a pause of some 20 ms. */
const worthwhile = 16 * 1024 * 1024;

/** `--expose-gc` brings it; without the option only the C library's memory is given back. */
const collect = (globalThis as { gc?: () => void }).gc;

/**
 * Gives back what a burst of work left behind once the process is at rest: V8 collects when somebody allocates, so a
 * process that has become idle would keep its garbage for ever. Driven by V8's own collections, so that it costs
 * nothing while nothing happens.
 */
export function returnIdleMemory(clock: Clock, log: Logger): Disposable {
  let settled = 0;
  let last = clock.now();
  let timer: Disposable | undefined;
  const later = (ms: number): void => {
    timer ??= clock.after(ms, () => {
      timer = undefined;
      const rest = last + quiet - clock.now();
      if (rest > 0) later(rest);
      else void giveBack();
    });
  };
  const giveBack = async (): Promise<void> => {
    const before = process.memoryUsage.rss();
    if (before < settled + worthwhile) return;
    collect?.();
    await releaseFreeMemory();
    settled = process.memoryUsage.rss();
    log.debug('gave memory back', { beforeBytes: before, afterBytes: settled });
  };
  const observer = new PerformanceObserver((list) => {
    const own = (entry: PerformanceEntry): boolean =>
      (((entry as { detail?: { flags?: number } }).detail?.flags ?? 0) & constants.NODE_PERFORMANCE_GC_FLAGS_FORCED) !==
      0;
    if (list.getEntries().every(own)) return;
    last = clock.now();
    later(quiet);
  });
  observer.observe({ entryTypes: ['gc'] });
  later(quiet);
  return {
    [Symbol.dispose]() {
      observer.disconnect();
      timer?.[Symbol.dispose]();
    },
  };
}
