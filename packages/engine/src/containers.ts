import { KeyedMutex, messageOf, Semaphore, sleep, WherryError } from '@wherry/base';
import type { WindowSize } from '@wherry/linux';
import type { RuntimeSpec } from '@wherry/oci';
import type { AttachOptions, ContainerConfig, OpenRootfs, StreamSession } from '@wherry/runtime';
import { BackgroundWork } from './background-work.ts';
import { killAndRemoveCgroup } from './cgroup-cleanup.ts';
import { ContainerExits, type ExitReport } from './container-exits.ts';
import { ContainerIndex } from './container-index.ts';
import { ContainerLauncher } from './container-launcher.ts';
import { recoverContainers, unknownCode } from './container-recovery.ts';
import { ContainerRoots, lifeHold } from './container-roots.ts';
import { containerStatus } from './container-status.ts';
import type { EngineContext } from './context.ts';
import { executed, programOf } from './executed.ts';
import { checkedId } from './ids.ts';
import { holdImages, releaseImages } from './image-mounts.ts';
import { LiveContainer } from './live-container.ts';
import { rotatedLogOf } from './log/rotated-log-of.ts';
import { identityOf } from './process-identity.ts';
import { releaseRelays } from './relay-mounts.ts';
import { refusedBefore, startFailed } from './runtime/failures.ts';
import { startFailure } from './runtime/messages.ts';
import type { OciRuntime } from './runtime/oci-runtime.ts';
import type { Sandboxes } from './sandboxes.ts';
import { checkedSignal, signalNumber } from './signals.ts';
import type { ContainerRecord } from './state/records.ts';
import { type Attachable, attachTo } from './streams/attach.ts';
import { EarlyAttachments } from './streams/early-attachments.ts';
import { setTerminalSize } from './streams/terminal-size.ts';

/** Exit code of what never ran; containerd's. */
const startErrorCode = 128;
const kill = 9;
/** Node's timers; some 24 days are as good as for ever. */
const longestTimer = 2 ** 31 - 1;

/** A container with what the engine holds of it while it runs. */
export interface RunningContainer {
  readonly record: ContainerRecord;
  readonly live: LiveContainer;
  readonly runtime: OciRuntime;
}

/** Makes, starts, ends and removes containers. Their work is serialised per container. */
export class Containers {
  readonly index: ContainerIndex;
  readonly roots: ContainerRoots;
  readonly #context: EngineContext;
  readonly #exits: ContainerExits;
  readonly #locks = new KeyedMutex();
  readonly #starts: Semaphore;
  readonly #live = new Map<string, LiveContainer>();
  readonly #early = new EarlyAttachments();
  readonly #background: BackgroundWork;
  #sandboxes!: Sandboxes;
  #launcher!: ContainerLauncher;

  constructor(context: EngineContext, parallelStarts: number) {
    this.#context = context;
    this.#background = new BackgroundWork(context.log);
    this.#exits = new ContainerExits(context.paths.exits);
    this.#starts = new Semaphore(parallelStarts);
    this.index = new ContainerIndex(context);
    this.roots = new ContainerRoots(context);
  }

  /** The two know each other: set once, before the first call. */
  connect(sandboxes: Sandboxes): void {
    this.#sandboxes = sandboxes;
    this.#launcher = new ContainerLauncher(this.#context, this.index, this.roots, this.#exits, sandboxes);
  }

  async create(sandboxId: string, config: ContainerConfig): Promise<string> {
    const { containers, random, clock, log } = this.#context;
    const sandbox = this.#sandboxes.get(sandboxId);
    if (sandbox.phase !== 'ready' && config.restartable !== true)
      throw new WherryError('conflict', `the sandbox ${sandboxId} is not ready`);
    const id = checkedId(config.id, 'container', (taken) => containers.get(taken) !== undefined) ?? random.hex(64);
    const started = { version: 1, id, sandboxId: sandbox.id, config, createdAt: clock.now() } as const;
    const unknown = { imageId: '', lowerDirectories: [], stopSignal: 'SIGTERM' };
    const record = await containers.put({ ...started, ...unknown, phase: 'creating' });
    try {
      await this.#make(record);
    } catch (error) {
      await this.#discard(record).catch((failure: unknown) =>
        log.error('an unfinished container stays', { container: id, error: failure }),
      );
      throw error;
    }
    this.#emit('containerCreated', record);
    return id;
  }

  /** One that starts once says at its creation what is wrong with it, as CRI has it; docker's says it at each start. */
  async #make(record: ContainerRecord): Promise<void> {
    const { containers, images, initLayers } = this.#context;
    const { imageId, config: image, lowerDirectories: lower } = await images.rootfs(record.config.image, record.id);
    const lowerDirectories = record.config.initLayer === true ? [initLayers.above(lower), ...lower] : lower;
    const imageConfig = image.config ?? {};
    const stopSignal = checkedSignal(record.config.stopSignal || imageConfig.StopSignal);
    const mountedImages = await holdImages(this.#context, record);
    const facts = { imageId, imageConfig, lowerDirectories, mountedImages, stopSignal };
    const made: ContainerRecord = { ...record, ...facts, phase: 'created' };
    if (record.config.restartable === true) this.roots.make(record.id);
    else await this.#launcher.prepare(made);
    await containers.put(made);
  }

  /** Replaces the configuration, for the next start. */
  async update(id: string, change: (config: ContainerConfig) => ContainerConfig): Promise<void> {
    const found = this.index.get(id);
    await this.#locks.run(found.id, async () => {
      const record = this.index.get(found.id);
      const config = change(record.config);
      if (config.image !== record.config.image || (config.id ?? record.id) !== record.id)
        throw new WherryError('invalid', 'the image and the id of a container do not change');
      const stopSignal = checkedSignal(config.stopSignal || record.imageConfig?.StopSignal);
      await this.#context.containers.put({ ...record, config, stopSignal });
    });
  }

  async start(id: string): Promise<void> {
    const found = this.index.get(id);
    await this.#locks.run(found.id, () => this.#starts.run(() => this.#start(this.index.get(found.id))));
  }

  async #start(record: ContainerRecord): Promise<void> {
    const { containers, clock } = this.#context;
    const again = record.phase === 'exited' && record.config.restartable === true;
    if (record.phase !== 'created' && !again)
      throw new WherryError('conflict', `the container ${record.id} is ${record.phase}, not created`);
    const sandbox = this.#sandboxes.get(record.sandboxId);
    if (sandbox.phase !== 'ready') throw new WherryError('conflict', `the sandbox ${sandbox.id} is not ready`);
    const spec = await this.#launcher.prepare(record).catch((error: unknown) => {
      this.#early.fail(record.id, error);
      throw error;
    });
    const starting = await containers.put({
      ...record,
      phase: 'starting',
      runtime: this.index.runtimeFor(record).entry,
    });
    let live: LiveContainer | undefined;
    try {
      const monitored = await this.#launcher.launch(starting, spec);
      const process = identityOf(monitored.pid);
      const monitor = identityOf(monitored.monitorPid);
      const running = { ...starting, ...unended, phase: 'running', startedAt: clock.now(), process, monitor } as const;
      live = LiveContainer.open(running);
      this.#early.join(record.id, this.#attachable(running), live.exited.promise);
      const runtime = programOf(monitored.pid);
      await this.index.runtimeOf(starting).start(record.id);
      await executed(monitored.pid, runtime);
      await containers.put(running);
      this.#emit('containerStarted', running);
      this.#hold(running, live);
    } catch (error) {
      const failure = await this.#startFailed(starting, spec, error);
      live?.exited.reject(failure);
      live?.[Symbol.dispose]();
      throw failure;
    }
  }

  async #startFailed(record: ContainerRecord, spec: RuntimeSpec, error: unknown): Promise<WherryError> {
    // What runc says of a specification that it does not take.
    const refusal = /^runc create failed: (?!unable to start container process: )([\s\S]*)$/.exec(
      messageOf(error).trim(),
    );
    const failure = refusal
      ? refusedBefore(refusal[1] as string)
      : startFailed(startFailure(messageOf(error), spec.process.args, spec), error);
    await this.#launcher.undo(record);
    await this.#launcher.abandon(record.id);
    this.#early.fail(record.id, failure);
    const end = {
      exitCode: startErrorCode,
      finishedAt: this.#context.clock.now(),
      reason: 'StartError',
      message: failure.message,
    };
    await this.#ended({ ...record, ...unended }, end);
    return failure;
  }

  /** Watches a running container; it may have ended already. */
  #hold(record: ContainerRecord, live = LiveContainer.open(record)): LiveContainer {
    this.#live.set(record.id, live);
    live.log = rotatedLogOf(this.#context, record, this.#sandboxes.get(record.sandboxId));
    const check = (monitorGone: boolean): void => {
      this.#checkExit(record.id, live, monitorGone).catch((error: unknown) =>
        this.#context.log.error('an exit was not recorded', { container: record.id, error }),
      );
    };
    // The monitor writes the exit code before it ends: without one after that it was killed.
    const orphaned = (): void => check(true);
    if (live.monitor === undefined) orphaned();
    else {
      live.monitor.ended.then(orphaned, orphaned);
      check(false);
    }
    return live;
  }

  async #checkExit(id: string, live: LiveContainer | undefined, monitorGone: boolean): Promise<void> {
    const report = this.#exits.read(id);
    if (live === undefined || (report === undefined && !monitorGone)) return;
    await this.#locks.run(id, async () => {
      if (this.#live.get(id) !== live) return;
      this.#live.delete(id);
      await live.log?.finish();
      const exitCode = await this.#recordExit(this.index.get(id), report);
      live.exited.resolve(exitCode);
      live[Symbol.dispose]();
      await this.#cleanUp(this.index.get(id));
    });
  }

  async #recordExit(record: ContainerRecord, report: ExitReport | undefined): Promise<number> {
    const { clock, cgroups } = this.#context;
    const oomKilled = cgroups.oomKills(this.index.cgroup(record)) > 0;
    if (report === undefined) cgroups.kill(this.index.cgroup(record));
    const { exitCode, finishedAt: written } = report ?? { exitCode: unknownCode, finishedAt: clock.now() };
    // File times come from the kernel's coarse clock, some milliseconds behind.
    const finishedAt = Math.max(written, record.startedAt ?? 0);
    const failed = oomKilled ? 'OOMKilled' : 'Error';
    const reason = report === undefined ? 'Unknown' : exitCode === 0 ? 'Completed' : failed;
    const message = report === undefined ? 'the monitor of the container ended before it' : undefined;
    await this.#ended(record, { exitCode, finishedAt, reason, message, oomKilled });
    return exitCode;
  }

  /** Behind the report of the end: nobody but the next start and the removal waits for it. */
  async #cleanUp(record: ContainerRecord): Promise<void> {
    // In a shared process namespace its other processes outlive the first one.
    await killAndRemoveCgroup(this.#context, this.index.cgroup(record));
    await this.index.runtimeOf(record).forget(record.id);
    // The next start waits for it by itself.
    this.#background.add(record.id, this.roots.release(record.id, lifeHold));
  }

  async #ended(record: ContainerRecord, end: Partial<ContainerRecord>): Promise<void> {
    const gone = { phase: 'exited', process: undefined, monitor: undefined } as const;
    const exited = await this.#context.containers.note({ ...record, ...end, ...gone });
    this.#context.events.emit({
      type: 'containerExited',
      containerId: record.id,
      sandboxId: record.sandboxId,
      labels: record.config.labels,
      status: containerStatus(exited, this.#sandboxes.get(record.sandboxId)),
    });
  }

  async stop(id: string, timeoutSeconds: number): Promise<void> {
    const found = this.index.find(id);
    if (found === undefined) return;
    // Behind a start that is under way.
    await this.#locks.run(found.id, async () => undefined);
    const record = this.#context.containers.get(found.id);
    const live = record && this.#live.get(record.id);
    if (record === undefined || live === undefined) return;
    if (timeoutSeconds > 0) {
      live.process?.kill(signalNumber(record.stopSignal));
      this.#thaw(record);
      await this.#endWithin(live, timeoutSeconds * 1000);
    }
    if (this.#live.get(record.id) !== live) return;
    live.process?.kill(kill);
    this.#context.cgroups.kill(this.index.cgroup(record));
    this.#thaw(record);
    await live.exited.promise;
  }

  async #endWithin(live: LiveContainer, ms: number): Promise<void> {
    if (ms > longestTimer) return void (await live.exited.promise);
    const patience = new AbortController();
    await Promise.race([
      live.exited.promise,
      sleep(this.#context.clock, ms, { signal: patience.signal }).catch(() => undefined),
    ]);
    patience.abort();
  }

  /** Sends a signal to the first process. A frozen one is let run when the signal is meant to end it. */
  signal(id: string, wanted: string | number): void {
    const number = signalNumber(wanted);
    const { record, live } = this.running(id);
    if (live.process?.kill(number) !== true) throw new WherryError('conflict', `container ${record.id} is not running`);
    if (number === kill || number === signalNumber(record.stopSignal)) this.#thaw(record);
  }

  /** Version 1 of the cgroups keeps even SIGKILL from what is frozen. */
  #thaw(record: ContainerRecord): void {
    const { cgroups } = this.#context;
    const cgroup = this.index.cgroup(record);
    if (cgroups.isFrozen(cgroup)) cgroups.freeze(cgroup, false);
  }

  async stopAll(sandboxId: string): Promise<void> {
    await Promise.all(this.index.of(sandboxId).map((record) => this.stop(record.id, 0)));
  }

  async remove(id: string): Promise<void> {
    const found = this.index.find(id);
    if (found === undefined) return;
    await this.stop(found.id, 0);
    await this.#locks.run(found.id, async () => {
      const record = this.#context.containers.get(found.id);
      if (record === undefined || record.phase === 'removing') return;
      await this.#context.containers.note({ ...record, phase: 'removing' });
      await this.#end(record);
      this.#emit('containerDeleted', record);
      this.#background.add(record.id, this.#erase(record));
    });
  }

  async removeAll(sandboxId: string): Promise<void> {
    await Promise.all(this.index.of(sandboxId).map((record) => this.remove(record.id)));
  }

  async #discard(record: ContainerRecord): Promise<void> {
    await this.#end(record);
    await this.#erase(record);
  }

  async #end(record: ContainerRecord): Promise<void> {
    if (record.phase === 'starting' || record.phase === 'running') await this.index.runtimeOf(record).delete(record.id);
    const cgroup = this.index.cgroup(record);
    if (this.#context.cgroups.exists(cgroup)) await killAndRemoveCgroup(this.#context, cgroup);
    this.#exits.forget(record.id);
    await this.#context.images.release(record.id);
    await releaseImages(this.#context, record);
    this.#early.fail(record.id, new WherryError('notFound', `the container ${record.id} was removed`));
  }

  /** The record goes last: what a kill cut off is taken up by the next engine. */
  async #erase(record: ContainerRecord): Promise<void> {
    await this.roots.remove(record.id);
    await this.#context.containers.delete(record.id);
  }

  async openRootfs(id: string): Promise<OpenRootfs> {
    const record = this.index.get(id);
    if (record.phase === 'creating' || record.phase === 'removing')
      throw new WherryError('conflict', `container ${record.id} is being made or removed`);
    return await this.roots.open(record);
  }

  /** The specification of a container's last start. */
  specOf(id: string): RuntimeSpec {
    return this.#launcher.specOf(id);
  }

  /** Joins the stdio of a running container, or of the next run of one that does not run. */
  attach(id: string, options: AttachOptions, early: boolean): StreamSession {
    const record = this.index.get(id);
    const { tty, stdin } = record.config;
    const possible = { ...options, tty, stdin: options.stdin && stdin };
    const live = this.#live.get(record.id);
    if (early && live === undefined && record.phase !== 'removing') return this.#early.add(record.id, possible);
    return attachTo(this.#attachable(record), possible, this.running(id).live.exited.promise);
  }

  #attachable({ id, process }: ContainerRecord): Attachable {
    const bundle = this.#context.paths.container(id);
    return { bundle, resize: (size) => setTerminalSize(bundle, process?.pid, size) };
  }

  /** Sets the size of a running container's terminal. */
  resize(id: string, size: WindowSize): void {
    this.#attachable(this.running(id).record).resize(size);
  }

  /** After a start of the daemon: takes over what runs, undoes what was half done. Call before any other. */
  async recover(): Promise<void> {
    releaseRelays(this.#context);
    this.#exits.watch((id) => {
      this.#checkExit(id, this.#live.get(id), false).catch((error: unknown) =>
        this.#context.log.error('an exit was not recorded', { container: id, error }),
      );
    });
    await recoverContainers(this.#context, {
      index: this.index,
      launcher: this.#launcher,
      roots: this.roots,
      hold: (record) => this.#hold(record),
      discard: (record) => this.#discard(record),
      started: (record) => this.#emit('containerStarted', record),
    });
  }

  /** Resolves when what was under way is done, clean-ups after an end too. */
  async settle(): Promise<void> {
    await Promise.all(this.#context.containers.all().map(({ id }) => this.#locks.run(id, async () => undefined)));
    await this.#background.settled();
  }

  /** Lets go of everything; the containers run on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#exits[Symbol.dispose]();
    for (const live of this.#live.values()) live[Symbol.dispose]();
    this.#live.clear();
    await this.#background.settled();
  }

  /** The running container, or `conflict`. */
  running(id: string): RunningContainer {
    const record = this.index.get(id);
    const live = this.#live.get(record.id);
    if (record.phase !== 'running' || live === undefined)
      throw new WherryError('conflict', `container ${record.id} is not running`);
    return { record, live, runtime: this.index.runtimeOf(record) };
  }

  #emit(type: 'containerCreated' | 'containerStarted' | 'containerDeleted', record: ContainerRecord): void {
    this.#context.events.emit({
      type,
      containerId: record.id,
      sandboxId: record.sandboxId,
      labels: record.config.labels,
    });
  }
}

/** What a run that has begun does not have of the one before. */
const unended = {
  exitCode: undefined,
  finishedAt: undefined,
  reason: undefined,
  message: undefined,
  oomKilled: undefined,
} as const;
