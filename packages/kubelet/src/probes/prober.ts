import type { V1Container, V1Probe } from '@wherry/api';
import type { Clock } from '@wherry/base';
import type { RuntimeService } from '@wherry/runtime';
import type { ContainerHealth } from '../pod/plan.ts';
import { type ProbeTarget, runProbe } from './handler.ts';
import type { ProbeResult } from './probe-result.ts';

type ProbeSort = 'startup' | 'readiness' | 'liveness';

const titles: Record<ProbeSort, string> = { startup: 'Startup', readiness: 'Readiness', liveness: 'Liveness' };

/** What a `Prober` works with. */
export interface ProberOptions {
  readonly target: ProbeTarget;
  readonly runtime: RuntimeService;
  readonly clock: Clock;
  /** What is known of a container that was taken over after a restart. */
  readonly initial: { readonly started: boolean; readonly ready: boolean } | undefined;
  readonly onChange: () => void;
  /** An event's reason and message. */
  readonly onEvent: (reason: 'Unhealthy' | 'ProbeWarning', message: string) => void;
}

/**
 * The probes of one run of a container. The startup probe comes first; readiness and liveness begin
 * when it has passed. The first run is at once (after `initialDelaySeconds`), the next ones a period
 * after the one before began; no two runs of one probe overlap.
 */
export class Prober implements Disposable {
  readonly #options: ProberOptions;
  readonly #container: V1Container;
  readonly #timers = new Set<Disposable>();
  readonly #startedAt: number;
  #stopped = false;
  #started: boolean;
  #ready: boolean;
  #failed: ContainerHealth['failed'];

  constructor(options: ProberOptions) {
    this.#options = options;
    this.#container = options.target.container;
    this.#startedAt = options.clock.now();
    const { initial } = options;
    this.#started = this.#container.startupProbe === undefined || initial?.started === true;
    this.#ready = this.#container.readinessProbe === undefined || initial?.ready === true;
    if (this.#started) this.#runLater();
    else if (this.#container.startupProbe) this.#run('startup', this.#container.startupProbe);
  }

  get health(): ContainerHealth {
    return {
      started: this.#started,
      ready: this.#started && this.#ready && this.#failed === undefined,
      failed: this.#failed,
    };
  }

  [Symbol.dispose](): void {
    this.#stopped = true;
    for (const timer of this.#timers) timer[Symbol.dispose]();
    this.#timers.clear();
  }

  #runLater(): void {
    const { readinessProbe, livenessProbe } = this.#container;
    if (readinessProbe) this.#run('readiness', readinessProbe);
    if (livenessProbe) this.#run('liveness', livenessProbe);
  }

  #run(sort: ProbeSort, probe: V1Probe): void {
    const { clock } = this.#options;
    const state = { last: undefined as string | undefined, count: 0 };
    const delay = (probe.initialDelaySeconds ?? 0) * 1000 - (clock.now() - this.#startedAt);
    const once = (): void => {
      const began = clock.now();
      void runProbe(probe, this.#options.target, this.#options.runtime, clock).then((result) => {
        if (this.#stopped || !this.#take(sort, probe, result, state)) return;
        const period = Math.max(probe.periodSeconds ?? 10, 1) * 1000;
        this.#after(Math.max(began + period - clock.now(), 0), once);
      });
    };
    if (delay > 0) this.#after(delay, once);
    else once();
  }

  #after(ms: number, work: () => void): void {
    const timer = this.#options.clock.after(ms, () => {
      this.#timers.delete(timer);
      work();
    });
    this.#timers.add(timer);
  }

  /** Gives whether the probe goes on. */
  #take(
    sort: ProbeSort,
    probe: V1Probe,
    { outcome, output }: ProbeResult,
    state: { last: string | undefined; count: number },
  ): boolean {
    if (outcome === 'error') {
      this.#options.onEvent('Unhealthy', `${titles[sort]} probe errored: ${output}`);
      return true;
    }
    if (outcome === 'failure') this.#options.onEvent('Unhealthy', `${titles[sort]} probe failed: ${output}`);
    state.count = state.last === outcome ? state.count + 1 : 1;
    state.last = outcome;
    const threshold = outcome === 'success' ? (probe.successThreshold ?? 1) : (probe.failureThreshold ?? 3);
    if (state.count < threshold) return true;
    return this.#verdict(sort, probe, outcome === 'success');
  }

  #verdict(sort: ProbeSort, probe: V1Probe, good: boolean): boolean {
    if (sort === 'readiness') {
      if (this.#ready !== good) {
        this.#ready = good;
        this.#options.onChange();
      }
      return true;
    }
    if (!good) {
      this.#failed = { probe: sort, graceSeconds: probe.terminationGracePeriodSeconds };
      this[Symbol.dispose]();
      this.#options.onChange();
      return false;
    }
    if (sort === 'liveness') return true;
    this.#started = true;
    this.#options.onChange();
    this.#runLater();
    return false;
  }
}
