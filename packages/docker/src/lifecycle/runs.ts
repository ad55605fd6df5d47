import { messageOf, WherryError } from '@wherry/base';
import { isRestarting } from '../config/restart-policy.ts';
import type { Container } from '../containers/container.ts';
import { type DockerContext, save, saveSoon, tell } from '../containers/context.ts';
import type { Ender } from './ending.ts';
import type { HealthMonitors } from './health.ts';
import type { Remover } from './remover.ts';
import { type Starter, startable } from './starter.ts';
import type { Supervisor } from './supervisor.ts';

interface RunParts {
  readonly starter: Starter;
  readonly ender: Ender;
  readonly remover: Remover;
  readonly supervisor: Supervisor;
  readonly health: HealthMonitors;
  readonly onRun: (container: Container) => void;
}

/** What users do with whole runs of containers: start and restart, pause and go on. */
export class Runs {
  readonly #context: DockerContext;
  readonly #parts: RunParts;
  #isStoppingAll = false;

  constructor(context: DockerContext, parts: RunParts) {
    this.#context = context;
    this.#parts = parts;
  }

  /** False when it ran already. */
  async start(container: Container): Promise<boolean> {
    const started = await container.lock.run(async () => {
      if (!startable(container)) return false;
      container.restart?.abort();
      container.restart = undefined;
      container.restartDelay = 0;
      await this.#wantRunning(container, { restartCount: 0 });
      await this.#run(container);
      return true;
    });
    // It may have ended before it was known to run.
    if (started) this.#parts.supervisor.settleSoon(container);
    return started;
  }

  async restart(container: Container, options: { readonly signal?: string; readonly timeout?: number }): Promise<void> {
    container.restarting = true;
    try {
      await this.#parts.ender.stop(container, { ...options, manual: false });
      await container.lock.run(async () => {
        if (!startable(container)) return;
        await this.#wantRunning(container, {});
        await this.#run(container);
      });
    } finally {
      container.restarting = false;
    }
    this.#parts.supervisor.settleSoon(container);
    tell(this.#context, container, 'restart');
  }

  async pause(container: Container): Promise<void> {
    await container.lock.run(async () => {
      if (container.phase === 'paused')
        throw new WherryError('conflict', `Container ${container.id} is already paused`);
      if (container.phase === 'restarting')
        throw new WherryError(
          'conflict',
          `Container ${container.id} is restarting, wait until the container is running`,
        );
      if (container.phase !== 'running') throw new WherryError('conflict', `container ${container.id} is not running`);
      await this.#context.engine.pauseContainer(container.id);
      container.enter('paused');
      this.#parts.health.stop(container);
      saveSoon(this.#context, container);
    });
    tell(this.#context, container, 'pause');
  }

  async unpause(container: Container): Promise<void> {
    await container.lock.run(async () => {
      if (container.phase !== 'paused') throw new WherryError('internal', `Container ${container.id} is not paused`);
      await this.#context.engine.unpauseContainer(container.id);
      container.enter('running');
      this.#parts.health.start(container, { resume: true });
      saveSoon(this.#context, container);
    });
    tell(this.#context, container, 'unpause');
  }

  /** Ends all that runs, as the daemon's end does; from now on nothing starts. */
  async stopAll(): Promise<void> {
    const { registry, log } = this.#context;
    this.#isStoppingAll = true;
    const end = async (container: Container): Promise<void> => {
      await this.#parts.ender.stop(container, { manual: false });
      // With its removal, when it removes itself.
      await container.lock.run(async () => undefined);
    };
    await Promise.all(
      registry
        .all()
        .map((container) =>
          end(container).catch((error: unknown) =>
            log.error('a container was not stopped', { container: container.id, error: messageOf(error) }),
          ),
        ),
    );
  }

  /** Written before it runs: its policy holds again from the answer to this start on, also for the next daemon. */
  async #wantRunning(container: Container, change: { readonly restartCount?: number }): Promise<void> {
    const { manuallyStopped, restartCount, host } = container.record;
    container.change({ ...change, manuallyStopped: false });
    if (manuallyStopped || restartCount !== container.record.restartCount)
      await save(this.#context, container, isRestarting(host.RestartPolicy));
  }

  /** The caller holds the lock. */
  async #run(container: Container): Promise<void> {
    const { starter, remover, health, onRun } = this.#parts;
    try {
      if (this.#isStoppingAll) throw new WherryError('unavailable', 'the daemon is shutting down');
      await starter.start(container);
    } catch (error) {
      container.ended();
      if (container.record.host.AutoRemove) await remover.removeEnded(container);
      throw error;
    }
    health.start(container);
    onRun(container);
  }
}
