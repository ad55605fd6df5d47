import { sleep, WherryError } from '@wherry/base';
import { isRestarting } from '../config/restart-policy.ts';
import { engineSignal, isSignal, parseSignal, stopSignal } from '../config/signals.ts';
import type { Container } from '../containers/container.ts';
import { type DockerContext, saveIfPossible, tell } from '../containers/context.ts';

const sigkill = 9;
const defaultTimeout = 10;

/** Ends runs: `stop`, `kill`. What the end leads to is the supervisor's. */
export class Ender {
  readonly #context: DockerContext;

  constructor(context: DockerContext) {
    this.#context = context;
  }

  /** False when it did not run. `timeout` in seconds; −1 waits for ever. `manual`: the user wants it to stay ended. */
  async stop(
    container: Container,
    options: { readonly signal?: string | undefined; readonly timeout?: number | undefined; readonly manual: boolean },
  ): Promise<boolean> {
    const { config } = container.record;
    await this.#behindStart(container);
    if (!container.alive && container.phase !== 'restarting') return false;
    const signal = options.signal ? parseSignal(options.signal) : stopSignal(config.StopSignal);
    if (container.phase === 'restarting') return await this.#stayDown(container, options.manual);
    container.stopping = true;
    const end = container.nextEnd();
    container.whenStopped(() => tell(this.#context, container, 'stop'));
    await this.#note(container, options.manual);
    const timeout = options.timeout ?? config.StopTimeout ?? defaultTimeout;
    // One with a number that no signal has ends at once.
    if (!isSignal(signal)) await this.#signal(container, sigkill);
    else if (await this.#signal(container, signal)) {
      if (timeout < 0) await end;
      else if (!(await this.#within(end, timeout * 1000))) await this.#signal(container, sigkill);
    }
    await end;
    return true;
  }

  /** A start that is under way comes to its end first. */
  async #behindStart(container: Container): Promise<void> {
    await container.lock.run(async () => undefined);
  }

  /** Written before the signal is sent: after a crash in between, `unless-stopped` leaves it alone. */
  async #note(container: Container, manual: boolean): Promise<void> {
    if (!manual || container.record.manuallyStopped) return;
    container.change({ manuallyStopped: true });
    await saveIfPossible(this.#context, container, isRestarting(container.record.host.RestartPolicy));
  }

  async #stayDown(container: Container, manual: boolean): Promise<boolean> {
    return await container.lock.run(async () => {
      if (container.phase !== 'restarting') return false;
      container.restart?.abort();
      container.restart = undefined;
      container.change({ manuallyStopped: manual || container.record.manuallyStopped });
      container.enter('exited');
      await saveIfPossible(this.#context, container, true);
      container.ended();
      tell(this.#context, container, 'stop');
      return true;
    });
  }

  /** False when the process is gone already. */
  async #signal(container: Container, signal: number): Promise<boolean> {
    tell(this.#context, container, 'kill', { signal: String(signal) });
    try {
      await this.#context.engine.killContainer(container.id, engineSignal(signal));
      return true;
    } catch (error) {
      if (error instanceof WherryError && (error.code === 'conflict' || error.code === 'notFound')) return false;
      throw error;
    }
  }

  async #within(end: Promise<unknown>, ms: number): Promise<boolean> {
    const patience = new AbortController();
    const late = sleep(this.#context.clock, ms, { signal: patience.signal }).then(
      () => false,
      () => false,
    );
    const ended = await Promise.race([end.then(() => true), late]);
    patience.abort();
    return ended;
  }

  /** One signal, by its number. SIGKILL is waited for; any other that the container may not outlive cancels its restart policy. */
  async kill(container: Container, signal = sigkill): Promise<void> {
    const { StopSignal = '' } = container.record.config;
    if (container.phase === 'restarting') return void (await this.#stayDown(container, true));
    if (!container.alive) throw new WherryError('conflict', `container ${container.id} is not running`);
    if (StopSignal === '' || signal === sigkill || stopSignal(StopSignal) === signal) container.stopping = true;
    const end = container.nextEnd();
    await this.#note(container, true);
    if (!(await this.#signal(container, signal)) || signal === sigkill) await end;
  }
}
