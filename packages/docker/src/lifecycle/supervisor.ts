import { messageOf, sleep } from '@wherry/base';
import type { ContainerStatus, RuntimeEvent } from '@wherry/runtime';
import type { Container } from '../containers/container.ts';
import { type DockerContext, saveSoon, tell } from '../containers/context.ts';
import { formatNano, parseNano } from '../times.ts';
import type { HealthMonitors } from './health.ts';
import type { Remover } from './remover.ts';
import { nextDelay, restarts } from './restart-decision.ts';
import type { Starter } from './starter.ts';

/** Sees runs end: settles their state, starts containers again by their policies, removes those that asked for it. */
export class Supervisor {
  readonly #context: DockerContext;
  readonly #starter: Starter;
  readonly #remover: Remover;
  readonly #health: HealthMonitors;
  readonly #onEnd: (container: Container) => void;

  constructor(
    context: DockerContext,
    parts: {
      readonly starter: Starter;
      readonly remover: Remover;
      readonly health: HealthMonitors;
      readonly onEnd: (container: Container) => void;
    },
  ) {
    this.#context = context;
    this.#starter = parts.starter;
    this.#remover = parts.remover;
    this.#health = parts.health;
    this.#onEnd = parts.onEnd;
  }

  /** Works on what the engine tells until the signal. */
  async watch(events: AsyncIterable<RuntimeEvent>): Promise<void> {
    for await (const event of events) {
      if (event.type !== 'containerExited') continue;
      const container = this.#context.registry.get(event.containerId);
      if (container !== undefined) this.settleSoon(container);
    }
  }

  settleSoon(container: Container): void {
    this.settle(container).catch((error: unknown) =>
      this.#context.log.error('the end of a container was not settled', {
        container: container.id,
        error: messageOf(error),
      }),
    );
  }

  /** Brings a container whose run has ended to its next phase. Nothing when it runs, or was settled already. */
  async settle(container: Container): Promise<void> {
    await container.lock.run(async () => {
      if (!container.alive) return;
      const status = await this.#context.engine.containerStatus(container.id);
      if (status.state === 'running') return;
      await this.#end(container, status);
    });
  }

  async #end(container: Container, status: ContainerStatus): Promise<void> {
    const { now } = this.#context;
    this.#health.stop(container);
    this.#onEnd(container);
    const { host, state, manuallyStopped, restartCount } = container.record;
    const startedAt = parseNano(state.startedAt);
    // The engine's clock has ms; a run does not end before it began.
    const known = BigInt(status.finishedAt ?? 0) * 1_000_000n;
    const finished = known > startedAt ? known : now();
    const exitCode = status.exitCode ?? 255;
    const ranFor = Number((finished - startedAt) / 1_000_000n);
    const ended = {
      exitCode,
      error: '',
      oomKilled: status.oomKilled ?? status.reason === 'OOMKilled',
      finishedAt: formatNano(finished),
    };
    const { stopping } = container;
    if (ended.oomKilled) tell(this.#context, container, 'oom');
    const again = restarts(host.RestartPolicy, { exitCode, stopping, manuallyStopped, restartCount });
    await this.#starter.release(container);
    container.enter(again ? 'restarting' : 'exited', ended);
    container.stopped();
    tell(this.#context, container, 'die', {
      execDuration: String(Math.max(0, Math.floor(ranFor / 1000))),
      exitCode: String(exitCode),
    });
    if (again) {
      container.change({ restartCount: restartCount + 1 });
      this.#restartLater(container, ranFor);
    }
    saveSoon(this.#context, container);
    container.ended();
    if (!again && host.AutoRemove && !container.restarting) await this.#remover.removeEnded(container);
  }

  /** Goes on with the restart that a former daemon waited for; it has counted it. */
  resumeRestart(container: Container): void {
    this.#restartLater(container, 0);
  }

  #restartLater(container: Container, ranFor: number): void {
    container.restartDelay = nextDelay(container.restartDelay, ranFor);
    const restart = new AbortController();
    container.restart = restart;
    sleep(this.#context.clock, container.restartDelay, { signal: restart.signal })
      .then(() => this.#restart(container, restart.signal))
      .catch((error: unknown) => {
        if (!restart.signal.aborted)
          this.#context.log.warn('a container was not started again', {
            container: container.id,
            error: messageOf(error),
          });
      });
  }

  async #restart(container: Container, signal: AbortSignal): Promise<void> {
    await container.lock.run(async () => {
      if (signal.aborted || container.phase !== 'restarting') return;
      container.restart = undefined;
      try {
        await this.#starter.start(container);
      } catch (error) {
        container.ended();
        throw error;
      }
      this.#health.start(container);
    });
    // It may have ended before it was known to run.
    this.settleSoon(container);
  }
}
