import { Agent, request } from 'node:http';
import { setTimeout } from 'node:timers/promises';

/** Asks a daemon's `/_ping`, one after the other, on one connection. */
export class Pings {
  readonly #times: number[] = [];
  readonly #running: Promise<void>;
  #isOver = false;

  constructor(socketPath: string) {
    this.#running = this.#run(socketPath);
  }

  /** What each took (ms). */
  async end(): Promise<readonly number[]> {
    this.#isOver = true;
    await this.#running;
    return this.#times;
  }

  async #run(socketPath: string): Promise<void> {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    while (!this.#isOver) {
      const began = performance.now();
      await new Promise<void>((resolve, reject) => {
        const asked = request({ socketPath, agent, path: '/_ping' }, (answer) => answer.resume().once('end', resolve));
        asked.once('error', reject).end();
      });
      this.#times.push(performance.now() - began);
      await setTimeout(3);
    }
    agent.destroy();
  }
}
