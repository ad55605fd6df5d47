import { readFileSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { KeyedMutex, messageOf, Semaphore, sleep, WherryError } from '@wherry/base';
import { isMountPoint, ProcessHandle, processStartTime } from '@wherry/linux';
import type { ImageConfig, RuntimeSpec } from '@wherry/oci';
import type { ContainerConfig } from '@wherry/runtime';
import { killAndRemoveCgroup } from './cgroup-cleanup.ts';
import { ContainerExits } from './container-exits.ts';
import { containerStatus, logPathOf } from './container-status.ts';
import { type EngineContext, monitorGroup } from './context.ts';
import { LiveContainer } from './live-container.ts';
import { relayMounts, releaseRelays } from './relay-mounts.ts';
import { makeFolderBeneath, mountRootfs, removeRootfs } from './rootfs.ts';
import { startFailure } from './runtime/messages.ts';
import { type Monitored, startMonitor } from './runtime/monitor.ts';
import type { OciRuntime } from './runtime/oci-runtime.ts';
import type { Sandboxes } from './sandboxes.ts';
import { buildSpec } from './spec/build-spec.ts';
import { endStartersOf } from './starters.ts';
import type { ContainerRecord, ProcessIdentity } from './state/records.ts';

/** Exit code of what never ran or whose code nobody knows; containerd's. */
const startErrorCode = 128;
const unknownCode = 255;

/** Makes, starts, ends and removes containers. Their work is serialised per container. */
export class Containers {
  readonly #context: EngineContext;
  readonly #exits: ContainerExits;
  readonly #locks = new KeyedMutex();
  readonly #starts: Semaphore;
  readonly #live = new Map<string, LiveContainer>();
  #sandboxes!: Sandboxes;

  constructor(context: EngineContext, parallelStarts: number) {
    this.#context = context;
    this.#exits = new ContainerExits(context.paths.exits);
    this.#starts = new Semaphore(parallelStarts);
  }

  /** The two know each other: set once, before the first call. */
  connect(sandboxes: Sandboxes): void {
    this.#sandboxes = sandboxes;
  }

  async create(sandboxId: string, config: ContainerConfig): Promise<string> {
    const { containers, images, random, clock, log } = this.#context;
    const sandbox = this.#sandboxes.get(sandboxId);
    if (sandbox.phase !== 'ready') throw new WherryError('conflict', `the sandbox ${sandboxId} is not ready`);
    const id = random.hex(64);
    const started = { version: 1, id, sandboxId: sandbox.id, config, createdAt: clock.now() } as const;
    const unknown = { imageId: '', lowerDirectories: [], stopSignal: 'SIGTERM' };
    const record = await containers.put({ ...started, ...unknown, phase: 'creating' });
    try {
      const { imageId, config: image, lowerDirectories } = await images.rootfs(config.image, id);
      const stopSignal = signalName(config.stopSignal ?? image.config?.StopSignal);
      this.#prepare(record, lowerDirectories, image);
      await containers.put({ ...record, imageId, lowerDirectories, stopSignal, phase: 'created' });
    } catch (error) {
      await this.#discard(record).catch((failure: unknown) =>
        log.error('an unfinished container stays', { container: id, error: failure }),
      );
      throw error;
    }
    this.#emit('containerCreated', record);
    return id;
  }

  /** Mounts the root and writes the bundle. Synchronous but short: a mount, a few small files. */
  #prepare(record: ContainerRecord, lowerDirectories: readonly string[], image: ImageConfig): void {
    const { paths } = this.#context;
    const sandbox = this.#sandboxes.get(record.sandboxId);
    const rootfs = mountRootfs(this.#context, record.id, lowerDirectories);
    const spec = buildSpec({
      rootfs,
      image,
      config: record.config,
      sandbox: sandbox.config,
      namespaces: { ...this.#sandboxes.namespaces(sandbox), ...this.#processesOf(record) },
      files: this.#sandboxes.files(sandbox),
      cgroupsPath: this.#cgroup(record),
      cgroupVersion: this.#context.cgroups.version,
    });
    makeFolderBeneath(rootfs, spec.process.cwd);
    writeFileSync(join(paths.container(record.id), 'spec.json'), JSON.stringify(spec), { mode: 0o600 });
  }

  #processesOf({ sandboxId, config }: ContainerRecord): { readonly pid: string } | undefined {
    if (config.processesOf === undefined) return undefined;
    const target = this.get(config.processesOf);
    if (target.sandboxId !== sandboxId || target.phase !== 'running' || target.process === undefined)
      throw new WherryError('conflict', `the container ${target.id} does not run in the sandbox ${sandboxId}`);
    return { pid: `/proc/${target.process.pid}/ns/pid` };
  }

  async start(id: string): Promise<void> {
    const found = this.get(id);
    await this.#locks.run(found.id, () => this.#starts.run(() => this.#start(this.get(found.id))));
  }

  async #start(record: ContainerRecord): Promise<void> {
    const { containers, clock } = this.#context;
    if (record.phase !== 'created')
      throw new WherryError('conflict', `the container ${record.id} is ${record.phase}, not created`);
    const sandbox = this.#sandboxes.get(record.sandboxId);
    if (sandbox.phase !== 'ready') throw new WherryError('conflict', `the sandbox ${sandbox.id} is not ready`);
    const runtime = this.#runtimeOf(record);
    const starting = await containers.put({ ...record, phase: 'starting' });
    this.#exits.forget(record.id);
    let args: readonly string[] = [];
    try {
      const spec = this.#readSpec(record.id);
      args = spec.process.args;
      const monitored = await this.#launchOnce(starting, runtime);
      const startedAt = clock.now();
      const process = identityOf(monitored.pid);
      const monitor = identityOf(monitored.monitorPid);
      await runtime.start(record.id);
      const running = await containers.put({ ...starting, phase: 'running', startedAt, process, monitor });
      this.#emit('containerStarted', running);
      this.#hold(running);
    } catch (error) {
      const message = `failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: ${startFailure(messageOf(error), args)}: unknown`;
      await this.#undoStart(record);
      await this.#ended(starting, { exitCode: startErrorCode, finishedAt: clock.now(), reason: 'StartError', message });
      throw new WherryError('invalid', message, { cause: error });
    }
  }

  /** A start that a killed daemon had begun may come through only after recovery has looked for it. */
  async #launchOnce(record: ContainerRecord, runtime: OciRuntime): Promise<Monitored> {
    try {
      return await this.#launch(record, runtime);
    } catch (error) {
      if (!/container .*already exists/.test(messageOf(error))) throw error;
      await endStartersOf(record.id);
      await this.#undoStart(record);
      return await this.#launch(record, runtime);
    }
  }

  async #launch(record: ContainerRecord, runtime: OciRuntime): Promise<Monitored> {
    const { paths, cgroups } = this.#context;
    const { id, config } = record;
    const bundle = paths.container(id);
    const logPath = logPathOf(record, this.#sandboxes.get(record.sandboxId)) || '/dev/null';
    if (logPath !== '/dev/null') await mkdir(dirname(logPath), { recursive: true, mode: 0o755 });
    const monitors = monitorGroup(this.#context);
    cgroups.create(monitors);
    using relayed = relayMounts(this.#context, id, this.#readSpec(id));
    writeFileSync(join(bundle, 'config.json'), JSON.stringify(relayed.spec), { mode: 0o600 });
    return await startMonitor({
      id,
      name: config.metadata.name,
      bundle,
      exitDirectory: paths.exits,
      logPath,
      tty: config.tty,
      stdin: config.stdin,
      keepStdin: config.stdin && !config.stdinOnce,
      runtime: runtime.command([]),
      place: (pid) => cgroups.attach(monitors, pid),
    });
  }

  /** Leaves nothing of a start that did not come to its end, not even a monitor that would yet write an exit code. */
  async #undoStart(record: ContainerRecord): Promise<void> {
    const { id } = record;
    const pid = pidIn(join(this.#context.paths.container(id), 'monitor.pid'));
    using monitor = pid !== undefined && isMonitorOf(id, pid) ? ProcessHandle.open(pid) : undefined;
    await this.#runtimeOf(record).delete(id);
    await killAndRemoveCgroup(this.#context, this.#cgroup(record));
    await monitor?.ended;
    this.#exits.forget(id);
  }

  /** Watches a running container; it may have ended already. */
  #hold(record: ContainerRecord): LiveContainer {
    const live = LiveContainer.open(record);
    this.#live.set(record.id, live);
    const check = (): void => {
      this.#checkExit(record.id, false).catch((error: unknown) =>
        this.#context.log.error('an exit was not recorded', { container: record.id, error }),
      );
    };
    // The monitor writes the exit code before it ends: without one after that it was killed.
    const orphaned = (): void => {
      this.#checkExit(record.id, true).catch((error: unknown) =>
        this.#context.log.error('an exit was not recorded', { container: record.id, error }),
      );
    };
    if (live.monitor === undefined) orphaned();
    else {
      live.monitor.ended.then(orphaned, orphaned);
      check();
    }
    return live;
  }

  async #checkExit(id: string, monitorGone: boolean): Promise<void> {
    const live = this.#live.get(id);
    if (live === undefined) return;
    const report = this.#exits.read(id);
    if (report === undefined && !monitorGone) return;
    this.#live.delete(id);
    const { clock, cgroups } = this.#context;
    const record = this.get(id);
    const oom = report?.exitCode !== 0 && cgroups.oomKills(this.#cgroup(record)) > 0;
    if (report === undefined) cgroups.kill(this.#cgroup(record));
    const { exitCode, finishedAt: written } = report ?? { exitCode: unknownCode, finishedAt: clock.now() };
    // File times come from the kernel's coarse clock, some milliseconds behind.
    const finishedAt = Math.max(written, record.startedAt ?? 0);
    const reason = report === undefined ? 'Unknown' : oom ? 'OOMKilled' : exitCode === 0 ? 'Completed' : 'Error';
    const message = report === undefined ? 'the monitor of the container ended before it' : undefined;
    await this.#ended(record, { exitCode, finishedAt, reason, message });
    live.exited.resolve();
    live[Symbol.dispose]();
    await this.#locks.run(id, async () => {
      if (this.#context.containers.get(id)?.phase !== 'exited') return;
      await this.#runtimeOf(record).delete(id);
      // In a shared process namespace its other processes outlive the first one.
      await killAndRemoveCgroup(this.#context, this.#cgroup(record));
    });
  }

  async #ended(
    record: ContainerRecord,
    end: Pick<ContainerRecord, 'exitCode' | 'finishedAt' | 'reason' | 'message'>,
  ): Promise<void> {
    const exited = await this.#context.containers.note({
      ...record,
      ...end,
      phase: 'exited',
      process: undefined,
      monitor: undefined,
    });
    this.#context.events.emit({
      type: 'containerExited',
      containerId: record.id,
      sandboxId: record.sandboxId,
      labels: record.config.labels,
      status: containerStatus(exited, this.#sandboxes.get(record.sandboxId)),
    });
  }

  async stop(id: string, timeoutSeconds: number): Promise<void> {
    const found = this.#find(id);
    if (found === undefined) return;
    // Behind a start that is under way.
    await this.#locks.run(found.id, async () => undefined);
    const record = this.#context.containers.get(found.id);
    const live = record && this.#live.get(record.id);
    if (record === undefined || live === undefined) return;
    if (timeoutSeconds > 0) {
      live.process?.kill(record.stopSignal as NodeJS.Signals);
      const patience = new AbortController();
      await Promise.race([
        live.exited.promise,
        sleep(this.#context.clock, timeoutSeconds * 1000, { signal: patience.signal }).catch(() => undefined),
      ]);
      patience.abort();
    }
    if (this.#live.get(record.id) !== live) return;
    live.process?.kill('SIGKILL');
    this.#context.cgroups.kill(this.#cgroup(record));
    await live.exited.promise;
  }

  async stopAll(sandboxId: string): Promise<void> {
    await Promise.all(this.of(sandboxId).map((record) => this.stop(record.id, 0)));
  }

  async remove(id: string): Promise<void> {
    const found = this.#find(id);
    if (found === undefined) return;
    await this.stop(found.id, 0);
    await this.#locks.run(found.id, async () => {
      const record = this.#context.containers.get(found.id);
      if (record === undefined) return;
      await this.#context.containers.note({ ...record, phase: 'removing' });
      await this.#discard(record);
      this.#emit('containerDeleted', record);
    });
  }

  async removeAll(sandboxId: string): Promise<void> {
    await Promise.all(this.of(sandboxId).map((record) => this.remove(record.id)));
  }

  async #discard(record: ContainerRecord): Promise<void> {
    const { containers, images } = this.#context;
    if (record.phase === 'starting' || record.phase === 'running') await this.#runtimeOf(record).delete(record.id);
    await killAndRemoveCgroup(this.#context, this.#cgroup(record));
    await removeRootfs(this.#context, record.id);
    this.#exits.forget(record.id);
    await images.release(record.id);
    await containers.delete(record.id);
  }

  /** After a start of the daemon: takes over what runs, undoes what was half done. Call before any other. */
  async recover(): Promise<void> {
    releaseRelays(this.#context);
    this.#exits.watch((id) => {
      this.#checkExit(id, false).catch((error: unknown) =>
        this.#context.log.error('an exit was not recorded', { container: id, error }),
      );
    });
    await Promise.all(
      this.#context.containers.all().map((record) =>
        // One container that cannot be mended must not keep the others from being taken over.
        this.#recoverOne(record).catch((error: unknown) =>
          this.#context.log.error('a container was not taken over', { container: record.id, error }),
        ),
      ),
    );
  }

  async #recoverOne(record: ContainerRecord): Promise<void> {
    const { sandboxes } = this.#context;
    if (record.phase === 'creating' || record.phase === 'removing' || sandboxes.get(record.sandboxId) === undefined) {
      await this.#discard({ ...record, phase: 'starting' });
      return;
    }
    if (record.phase === 'starting') return await this.#recoverStarting(record);
    if (record.phase === 'running') {
      const live = this.#hold(record);
      if (live.monitor === undefined) await live.exited.promise;
      return;
    }
    if (record.phase === 'created') await this.#recoverCreated(record);
  }

  /** Whether the process was let go is known by the OCI runtime alone. */
  async #recoverStarting(record: ContainerRecord): Promise<void> {
    const { containers, paths, clock } = this.#context;
    const runtime = this.#runtimeOf(record);
    const state = await runtime.state(record.id);
    const monitorPid = pidIn(join(paths.container(record.id), 'monitor.pid'));
    // `stopped` counts as let go: to start it once too little is mended by a restart, twice by nothing.
    if (state !== undefined && state.status !== 'created' && state.status !== 'creating') {
      const process = identityOf(state.pid);
      const monitor = monitorPid === undefined ? undefined : identityOf(monitorPid);
      const running = await containers.put({ ...record, phase: 'running', startedAt: clock.now(), process, monitor });
      this.#emit('containerStarted', running);
      this.#hold(running);
      return;
    }
    await endStartersOf(record.id);
    await this.#undoStart(record);
    await this.#recoverCreated(await containers.put({ ...record, phase: 'created' }));
  }

  /** A reboot took the mount of the root. */
  async #recoverCreated(record: ContainerRecord): Promise<void> {
    const { containers, paths, clock } = this.#context;
    if (isMountPoint(paths.rootfs(record.id))) return;
    const message = 'the machine was started anew before the container was';
    const end = { exitCode: unknownCode, finishedAt: clock.now(), reason: 'Unknown', message };
    await containers.note({ ...record, ...end, phase: 'exited' });
  }

  /** Lets go of everything; the containers run on. */
  [Symbol.dispose](): void {
    this.#exits[Symbol.dispose]();
    for (const live of this.#live.values()) live[Symbol.dispose]();
    this.#live.clear();
  }

  #find(id: string): ContainerRecord | undefined {
    const { containers } = this.#context;
    const exact = containers.get(id);
    if (exact !== undefined || id.length < 4) return exact;
    const matches = containers.all().filter((record) => record.id.startsWith(id));
    return matches.length === 1 ? matches[0] : undefined;
  }

  get(id: string): ContainerRecord {
    const record = this.#find(id);
    if (record === undefined) throw new WherryError('notFound', `there is no container ${id}`);
    return record;
  }

  /** The running container, or `conflict`. */
  running(id: string): {
    readonly record: ContainerRecord;
    readonly live: LiveContainer;
    readonly runtime: OciRuntime;
  } {
    const record = this.get(id);
    const live = this.#live.get(record.id);
    if (record.phase !== 'running' || live === undefined)
      throw new WherryError('conflict', `container ${record.id} is not running`);
    return { record, live, runtime: this.#runtimeOf(record) };
  }

  of(sandboxId: string): ContainerRecord[] {
    return this.#context.containers.all().filter((record) => record.sandboxId === sandboxId);
  }

  cgroup(record: ContainerRecord): string {
    return this.#cgroup(record);
  }

  #cgroup(record: ContainerRecord): string {
    const sandbox = this.#context.sandboxes.get(record.sandboxId);
    return sandbox === undefined
      ? `${this.#context.cgroupParent}/lost/${record.id}`
      : join(this.#sandboxes.cgroup(sandbox), record.id);
  }

  #runtimeOf(record: ContainerRecord): OciRuntime {
    return this.#context.runtimeFor(this.#context.sandboxes.get(record.sandboxId)?.config.runtimeHandler);
  }

  /** The specification as it was made at the creation. */
  #readSpec(id: string): RuntimeSpec {
    return JSON.parse(readFileSync(join(this.#context.paths.container(id), 'spec.json'), 'utf8')) as RuntimeSpec;
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

function identityOf(pid: number): ProcessIdentity | undefined {
  const startTime = processStartTime(pid);
  return startTime === undefined ? undefined : { pid, startTime };
}

/** `15`, `TERM` and `SIGTERM` are the same; real-time signals by number alone. */
function signalName(wanted: string | undefined): string {
  if (wanted === undefined || wanted === '') return 'SIGTERM';
  const name = /^\d+$/.test(wanted)
    ? Object.entries(constants.signals).find(([, number]) => number === Number(wanted))?.[0]
    : `SIG${wanted.toUpperCase().replace(/^SIG/, '')}`;
  if (name === undefined || !(name in constants.signals))
    throw new WherryError('invalid', `unknown signal ${JSON.stringify(wanted)}`);
  return name;
}

function pidIn(file: string): number | undefined {
  try {
    return Number(readFileSync(file, 'utf8')) || undefined;
  } catch {
    return undefined;
  }
}

/** A number that a crash left behind may be another process' by now. */
function isMonitorOf(id: string, pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`--cid=${id}`);
  } catch {
    return false;
  }
}
