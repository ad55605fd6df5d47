import { Agent, request } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import { processorWait } from './process-facts.ts';

/** Milliseconds. */
export interface Ping {
  readonly took: number;
  /** Without the time that the daemon's event loop or this process was ready to run and had no processor. */
  readonly own: number;
}

/** Asks a daemon's `/_ping`, one after the other, on one connection. */
export class Pings {
  readonly #pings: Ping[] = [];
  readonly #pids: readonly number[];
  readonly #running: Promise<void>;
  #isOver = false;

  /** `pid`: of a daemon that answers on its main thread. */
  constructor(socketPath: string, pid?: number) {
    this.#pids = pid === undefined ? [process.pid] : [process.pid, pid];
    this.#running = this.#run(socketPath);
  }

  async end(): Promise<readonly Ping[]> {
    this.#isOver = true;
    await this.#running;
    return this.#pings;
  }

  async #run(socketPath: string): Promise<void> {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    while (!this.#isOver) {
      const [began, waited] = [performance.now(), this.#waits()];
      await new Promise<void>((resolve, reject) => {
        const asked = request({ socketPath, agent, path: '/_ping' }, (answer) => answer.resume().once('end', resolve));
        asked.once('error', reject).end();
      });
      const took = performance.now() - began;
      this.#pings.push({ took, own: Math.max(0, took - (this.#waits() - waited)) });
      await setTimeout(3);
    }
    agent.destroy();
  }

  #waits(): number {
    return this.#pids.reduce((sum, pid) => sum + processorWait(pid), 0);
  }
}
