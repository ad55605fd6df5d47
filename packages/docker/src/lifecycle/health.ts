import { type Clock, codeOf, messageOf } from '@wherry/base';
import type { HealthConfig } from '../config/types.ts';
import type { Container, HealthState } from '../containers/container.ts';
import { type DockerContext, tell } from '../containers/context.ts';
import { formatNano, millisecondsOf } from '../times.ts';

const defaults = { interval: 30_000, timeout: 30_000, startInterval: 5_000, retries: 3 };
const keptResults = 5;
const longestOutput = 4096;

/** Runs the health checks of containers that have one: a timer for each, and nothing while none is due. */
export class HealthMonitors {
  readonly #context: DockerContext;
  readonly #running = new Map<string, HealthMonitor>();

  constructor(context: DockerContext) {
    this.#context = context;
  }

  /** Begins with a run, or goes on with what was found before: after a pause, or a restart of the daemon. */
  start(container: Container, { resume = false } = {}): void {
    this.stop(container);
    const test = container.record.config.Healthcheck?.Test ?? [];
    if (test.length === 0 || test[0] === 'NONE') {
      container.health = undefined;
      return;
    }
    const begins = !resume || container.health === undefined;
    // What was found in earlier runs is still shown, as dockerd does.
    if (begins) container.health = { Status: 'starting', FailingStreak: 0, Log: container.health?.Log ?? [] };
    const monitor = new HealthMonitor(this.#context, container, resume);
    if (begins) monitor.save();
    this.#running.set(container.id, monitor);
    monitor.schedule();
  }

  stop(container: Container): void {
    this.#running.get(container.id)?.[Symbol.dispose]();
    this.#running.delete(container.id);
  }

  [Symbol.dispose](): void {
    for (const monitor of this.#running.values()) monitor[Symbol.dispose]();
    this.#running.clear();
  }
}

class HealthMonitor implements Disposable {
  readonly #context: DockerContext;
  readonly #container: Container;
  readonly #config: HealthConfig;
  #timer: Disposable | undefined;
  #over = false;
  /** A probe has succeeded: the start period is over. */
  #started: boolean;

  constructor(context: DockerContext, container: Container, resumed: boolean) {
    this.#context = context;
    this.#container = container;
    this.#config = container.record.config.Healthcheck ?? {};
    this.#started = resumed && container.health?.Status !== 'starting';
  }

  schedule(): void {
    if (this.#over) return;
    const { Interval = 0, StartInterval = 0 } = this.#config;
    const interval = Interval === 0 ? defaults.interval : Interval / 1e6;
    const quick = StartInterval === 0 ? defaults.startInterval : StartInterval / 1e6;
    const clock: Clock = this.#context.clock;
    this.#timer = clock.after(this.#inStartPeriod() ? Math.min(quick, interval) : interval, () => {
      this.#probe().then(
        () => this.schedule(),
        (error: unknown) =>
          this.#context.log.warn('a health check failed to run', {
            container: this.#container.id,
            error: messageOf(error),
          }),
      );
    });
  }

  #inStartPeriod(): boolean {
    const period = (this.#config.StartPeriod ?? 0) / 1e6;
    const startedAt = millisecondsOf(this.#container.record.state.startedAt);
    return period > 0 && !this.#started && this.#context.clock.now() - startedAt < period;
  }

  async #probe(): Promise<void> {
    const { engine, now, random } = this.#context;
    const command = this.#command();
    const early = this.#inStartPeriod();
    const timeout = (this.#config.Timeout ?? 0) === 0 ? defaults.timeout : (this.#config.Timeout ?? 0) / 1e6;
    const Start = formatNano(now());
    const execID = random.hex(64);
    tell(this.#context, this.#container, `exec_create: ${command[0]} ${command.slice(1).join(' ')}`, { execID });
    tell(this.#context, this.#container, `exec_start: ${command[0]} ${command.slice(1).join(' ')}`, { execID });
    let ExitCode: number;
    let Output: string;
    try {
      const result = await engine.execSync(this.#container.id, command, timeout / 1000);
      ExitCode = result.exitCode;
      Output = Buffer.concat([result.stdout, result.stderr]).subarray(0, longestOutput).toString('utf8');
      tell(this.#context, this.#container, 'exec_die', { execID, exitCode: String(ExitCode) });
    } catch (error) {
      ExitCode = -1;
      Output =
        codeOf(error) === 'timeout' ? `Health check exceeded timeout (${goDuration(timeout)})` : messageOf(error);
    }
    if (this.#over) return;
    this.#note({ Start, End: formatNano(now()), ExitCode, Output }, early);
  }

  /** `CMD`, or `CMD-SHELL` by the container's shell. */
  #command(): readonly string[] {
    const [kind, ...words] = this.#config.Test ?? [];
    if (kind === 'CMD') return words;
    return [...(this.#container.record.config.Shell ?? ['/bin/sh', '-c']), words.join(' ')];
  }

  #note(result: HealthState['Log'][number], early: boolean): void {
    const old = this.#container.health ?? { Status: 'starting', FailingStreak: 0, Log: [] };
    const retries = this.#config.Retries || defaults.retries;
    const healthy = result.ExitCode === 0;
    if (healthy) this.#started = true;
    // Within the start period failures do not count.
    const streak = healthy ? 0 : early ? old.FailingStreak : old.FailingStreak + 1;
    const Status = healthy ? 'healthy' : streak >= retries ? 'unhealthy' : old.Status;
    this.#container.health = { Status, FailingStreak: streak, Log: [...old.Log, result].slice(-keptResults) };
    if (Status !== old.Status) tell(this.#context, this.#container, `health_status: ${Status}`);
    this.save();
  }

  /** The next daemon goes on with it. */
  save(): void {
    const { store, log } = this.#context;
    const { id, health } = this.#container;
    if (health === undefined) return;
    store
      .saveHealth(id, health)
      .catch((error: unknown) => log.warn('the health of a container was not saved', { container: id, error }));
  }

  [Symbol.dispose](): void {
    this.#over = true;
    this.#timer?.[Symbol.dispose]();
  }
}

/** `1s`, `1m30s`, `500ms`, as Go writes durations. */
function goDuration(ms: number): string {
  if (ms < 1000) return `${ms}ms`;
  const seconds = ms / 1000;
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  return `${hours > 0 ? `${hours}h` : ''}${minutes > 0 ? `${minutes % 60}m` : ''}${seconds % 60}s`;
}
