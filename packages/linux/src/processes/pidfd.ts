import { closeSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { lastErrno, libc, systemError } from '../libc.ts';
import { beyondSelect } from './descriptors.ts';
import { whenReadable } from './pollable.ts';

// The numbers are the same on every architecture.
const pidfdSendSignal = 424;
const pidfdOpen = 434;
const pidfdOpenCall = libc.func('syscall', 'long', ['long', 'int', 'uint']);
const pidfdSignalCall = libc.func('syscall', 'long', ['long', 'int', 'int', 'void *', 'uint']);

export type SignalName = NodeJS.Signals;

/** A process' identity beyond its reusable number: when it started, in clock ticks after boot (proc(5), field 22). */
export function processStartTime(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold spaces and parentheses: count from its end.
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

/** A live process, held by a pidfd: signals cannot hit another that got its number. */
export class ProcessHandle implements Disposable {
  readonly pid: number;
  /** Resolves when the process ended (its parent may not have reaped it yet). */
  readonly ended: Promise<void>;
  readonly #descriptor: number;
  #open = true;
  /** Owns the descriptor. */
  readonly #watch: Disposable;

  private constructor(pid: number, descriptor: number) {
    this.pid = pid;
    this.#descriptor = descriptor;
    let end!: () => void;
    this.ended = new Promise((resolve) => {
      end = resolve;
    });
    this.#watch = whenReadable(descriptor, () => {
      this.#open = false;
      end();
    });
  }

  /**
   * Holds process `pid`; `undefined` when there is none, or when `startTime` is given and is not
   * the one of the process that has this number now.
   */
  static open(pid: number, startTime?: string): ProcessHandle | undefined {
    const opened = Number(pidfdOpenCall(pidfdOpen, pid, 0));
    if (opened < 0) {
      const errno = lastErrno();
      if (errno === 'ESRCH' || errno === 'EINVAL') return undefined;
      throw systemError(`pidfd of ${pid}`, errno);
    }
    const descriptor = beyondSelect(opened);
    try {
      // Checked after the pidfd is held, so the number cannot change hands in between.
      if (startTime !== undefined && processStartTime(pid) !== startTime) {
        closeSync(descriptor);
        return undefined;
      }
      return new ProcessHandle(pid, descriptor);
    } catch (error) {
      closeSync(descriptor);
      throw error;
    }
  }

  /** Sends a signal; false when the process is gone. */
  kill(signal: SignalName | number): boolean {
    const number = typeof signal === 'number' ? signal : constants.signals[signal];
    if (!this.#open) return false;
    if (Number(pidfdSignalCall(pidfdSendSignal, this.#descriptor, number, null, 0)) === 0) return true;
    const errno = lastErrno();
    if (errno === 'ESRCH') return false;
    throw systemError(`signal ${signal} to ${this.pid}`, errno);
  }

  /** Lets go of the process. `ended` may then never resolve. */
  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    this.#watch[Symbol.dispose]();
  }
}
