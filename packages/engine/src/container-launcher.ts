import { closeSync, constants, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { messageOf, WherryError } from '@wherry/base';
import { openBeneath, ProcessHandle } from '@wherry/linux';
import type { ImageConfig, RuntimeSpec } from '@wherry/oci';
import { killAndRemoveCgroup } from './cgroup-cleanup.ts';
import type { ContainerExits } from './container-exits.ts';
import type { ContainerIndex } from './container-index.ts';
import { type ContainerRoots, lifeHold } from './container-roots.ts';
import { logPathOf } from './container-status.ts';
import { type EngineContext, monitorGroup } from './context.ts';
import { makeFolderBeneath } from './folder-beneath.ts';
import { mountImages } from './image-mounts.ts';
import { makeMountPoints } from './mount-points.ts';
import { refuseProcMounts } from './proc-mounts.ts';
import { isMonitorOf, pidIn } from './process-identity.ts';
import { relayMounts } from './relay-mounts.ts';
import { type Monitored, startMonitor } from './runtime/monitor.ts';
import { SeccompFilters } from './runtime/seccomp-filters.ts';
import type { Sandboxes } from './sandboxes.ts';
import { buildSpec } from './spec/build-spec.ts';
import { ownLimits } from './spec/resources.ts';
import { endStartersOf } from './starters.ts';
import type { ContainerRecord } from './state/records.ts';

/** Brings a container to the point where its first process waits to be let go, and back. */
export class ContainerLauncher {
  readonly #context: EngineContext;
  readonly #index: ContainerIndex;
  readonly #roots: ContainerRoots;
  readonly #exits: ContainerExits;
  readonly #sandboxes: Sandboxes;
  readonly #seccomp = new SeccompFilters();

  constructor(
    context: EngineContext,
    index: ContainerIndex,
    roots: ContainerRoots,
    exits: ContainerExits,
    sandboxes: Sandboxes,
  ) {
    this.#context = context;
    this.#index = index;
    this.#roots = roots;
    this.#exits = exits;
    this.#sandboxes = sandboxes;
  }

  /** Mounts the root and makes the specification, out of the configuration as it is now. Undone by `abandon`. */
  async prepare(record: ContainerRecord): Promise<RuntimeSpec> {
    const sandbox = this.#sandboxes.get(record.sandboxId);
    const image = await this.#imageOf(record);
    const namespaces = { ...this.#sandboxes.namespaces(sandbox), ...this.#processesOf(record) };
    const rootfs = await this.#roots.hold(record, lifeHold, namespaces.user);
    try {
      const spec = buildSpec({
        rootfs,
        image,
        config: { ...record.config, mounts: mountImages(this.#context, record) },
        sandbox: sandbox.config,
        namespaces,
        files: this.#sandboxes.files(sandbox),
        cgroupsPath: this.#index.cgroup(record),
        cgroupVersion: this.#context.cgroups.version,
        cgroupFeatures: this.#context.cgroups.features(this.#context.cgroupParent),
      });
      makeMountPoints(rootfs, spec.mounts);
      makeFolderBeneath(rootfs, spec.process.cwd);
      return spec;
    } catch (error) {
      await this.abandon(record.id);
      throw error;
    }
  }

  /** Lets go of the root after a run, or instead of one. */
  async abandon(id: string): Promise<void> {
    await this.#roots.release(id, lifeHold);
  }

  async #imageOf(record: ContainerRecord): Promise<Pick<ImageConfig, 'config'>> {
    if (record.imageConfig !== undefined) return { config: record.imageConfig };
    return (await this.#context.images.rootfs(record.imageId, record.id)).config;
  }

  #processesOf({ sandboxId, config }: ContainerRecord): { readonly pid: string } | undefined {
    if (config.processesOf === undefined) return undefined;
    const target = this.#index.get(config.processesOf);
    if (target.sandboxId !== sandboxId || target.phase !== 'running' || target.process === undefined)
      throw new WherryError('conflict', `the container ${target.id} does not run in the sandbox ${sandboxId}`);
    return { pid: `/proc/${target.process.pid}/ns/pid` };
  }

  /** The specification of the last start, as the runtime got it. */
  specOf(id: string): RuntimeSpec {
    return JSON.parse(readFileSync(join(this.#context.paths.container(id), 'config.json'), 'utf8')) as RuntimeSpec;
  }

  /** A start that a killed daemon had begun may come through only after recovery has looked for it. */
  async launch(record: ContainerRecord, spec: RuntimeSpec): Promise<Monitored> {
    refuseProcMounts(spec);
    this.#exits.forget(record.id);
    const { cgroups, cgroupParent } = this.#context;
    const limits = ownLimits(record.config.resources ?? {}, cgroups.features(cgroupParent));
    const monitored = await this.#launchOnce(record, spec);
    if (limits !== undefined) cgroups.limit(this.#index.cgroup(record), limits);
    // Docker's containers of before have no word of it.
    const { coreLink = record.config.restartable !== true } = record.config;
    if (!coreLink && hasOwnDevices(spec)) removeCoreLink(monitored.pid);
    return monitored;
  }

  async #launchOnce(record: ContainerRecord, spec: RuntimeSpec): Promise<Monitored> {
    try {
      return await this.#launch(record, spec);
    } catch (error) {
      if (!/container .*already exists/.test(messageOf(error))) throw error;
      await endStartersOf(record.id);
      await this.undo(record);
      return await this.#launch(record, spec);
    }
  }

  async #launch(record: ContainerRecord, spec: RuntimeSpec): Promise<Monitored> {
    const { paths, cgroups } = this.#context;
    const { id, config } = record;
    const bundle = paths.container(id);
    const logPath = logPathOf(record, this.#sandboxes.get(record.sandboxId)) || '/dev/null';
    if (logPath !== '/dev/null') await mkdir(dirname(logPath), { recursive: true, mode: 0o755 });
    const monitors = monitorGroup(this.#context);
    cgroups.create(monitors);
    using relayed = relayMounts(this.#context, id, spec);
    const completed = this.#seccomp.withFilter(relayed.spec);
    writeFileSync(join(bundle, 'config.json'), JSON.stringify(completed), { mode: 0o600 });
    const runtime = this.#index.runtimeOf(record);
    const monitored = await startMonitor({
      id,
      name: config.metadata.name,
      bundle,
      exitDirectory: paths.exits,
      logPath,
      tty: config.tty,
      stdin: config.stdin,
      keepStdin: config.stdin && !config.stdinOnce,
      runtime: runtime.command([]),
      place: (pid) => cgroups.attachChild(monitors, pid),
    });
    this.#seccomp.learn(runtime, id, completed);
    return monitored;
  }

  /** Leaves nothing of a start that did not come to its end, not even a monitor that would yet write an exit code. */
  async undo(record: ContainerRecord): Promise<void> {
    const { id } = record;
    const pid = pidIn(join(this.#context.paths.container(id), 'monitor.pid'));
    using monitor = pid !== undefined && isMonitorOf(id, pid) ? ProcessHandle.open(pid) : undefined;
    await this.#index.runtimeOf(record).delete(id);
    await killAndRemoveCgroup(this.#context, this.#index.cgroup(record));
    await monitor?.ended;
    this.#exits.forget(id);
  }
}

const hasOwnDevices = ({ mounts }: RuntimeSpec): boolean =>
  mounts.filter(({ destination }) => destination === '/dev').every(({ type }) => type === 'tmpfs');

/** crun makes a link `/dev/core` that runc, and so docker, does not. */
function removeCoreLink(pid: number): void {
  const folder = openBeneath(`/proc/${pid}/root`, 'dev', { flags: constants.O_RDONLY | constants.O_DIRECTORY });
  try {
    rmSync(`/proc/self/fd/${folder}/core`, { force: true });
  } finally {
    closeSync(folder);
  }
}
