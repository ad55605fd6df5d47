import { type Deferred, deferred } from '@wherry/base';
import { ProcessHandle } from '@wherry/linux';
import type { ProcessSpec } from '@wherry/oci';
import type { RotatedLog } from './log/rotated-log.ts';
import type { ContainerRecord } from './state/records.ts';

/** What the engine holds of a running container besides its record. */
export class LiveContainer implements Disposable {
  readonly id: string;
  /** `undefined` once the process is gone. */
  readonly process: ProcessHandle | undefined;
  readonly monitor: ProcessHandle | undefined;
  /** Its log, where the engine rotates it. */
  log: RotatedLog | undefined;
  /** That of the first process; read when a command is run beside it. */
  processSpec: ProcessSpec | undefined;
  /** Resolves with the exit code when the end is recorded; rejects when it could not be started. */
  readonly exited: Deferred<number> = deferred();

  private constructor(id: string, process: ProcessHandle | undefined, monitor: ProcessHandle | undefined) {
    this.id = id;
    this.process = process;
    this.monitor = monitor;
    this.exited.promise.catch(() => undefined);
  }

  static open(record: ContainerRecord): LiveContainer {
    const handle = (identity: ContainerRecord['process']): ProcessHandle | undefined =>
      identity && ProcessHandle.open(identity.pid, identity.startTime);
    return new LiveContainer(record.id, handle(record.process), handle(record.monitor));
  }

  [Symbol.dispose](): void {
    this.log?.[Symbol.dispose]();
    this.process?.[Symbol.dispose]();
    this.monitor?.[Symbol.dispose]();
  }
}
