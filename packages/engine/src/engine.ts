import { mkdirSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join, normalize } from 'node:path';
import type { Duplex } from 'node:stream';
import { JournaledRecords, silentLogger, systemClock, systemRandom, unreadableAdvice, WherryError } from '@wherry/base';
import {
  adoptOrphans,
  type CgroupFeatures,
  dialInNetns,
  findProgram,
  keepLowDescriptors,
  openCgroups,
  spreadSubfolders,
  unmountAll,
  warmThreadPool,
} from '@wherry/linux';
import type {
  AttachOptions,
  ContainerConfig,
  ContainerMetrics,
  ContainerStats,
  ContainerStatus,
  ExecOptions,
  ExecResult,
  ExecStreamSession,
  ExtendedResources,
  LabelFilter,
  LinuxResources,
  OpenRootfs,
  PodSandboxConfig,
  PodSandboxStatus,
  RuntimeEvent,
  RuntimeVersion,
  StreamSession,
} from '@wherry/runtime';
import { freezeCgroup, killAndRemoveCgroup } from './cgroup-cleanup.ts';
import { containerStatus } from './container-status.ts';
import { Containers } from './containers.ts';
import { type EngineContext, monitorGroup } from './context.ts';
import { InitLayers } from './init-layers.ts';
import type { Engine, EngineOptions } from './options.ts';
import { OciRuntimes } from './runtime/oci-runtimes.ts';
import { RuntimeNamespace } from './runtime/runtime-namespace.ts';
import { Sandboxes } from './sandboxes.ts';
import { supportedResources } from './spec/resources.ts';
import { EventHub } from './state/event-hub.ts';
import { enginePaths } from './state/paths.ts';
import type { ContainerRecord, SandboxRecord } from './state/records.ts';
import { reopenLog } from './streams/attach.ts';
import { Execs } from './streams/execs.ts';
import { treeSize } from './tree-size.ts';

/** Opens the engine on its folders and takes over what a former one left running. */
export async function createEngine(options: EngineOptions): Promise<Engine> {
  const { rootDirectory, runDirectory, log = silentLogger } = options;
  await warmThreadPool();
  adoptOrphans();
  // Each container that is taken over has some descriptors.
  keepLowDescriptors();
  mkdirSync(rootDirectory, { recursive: true, mode: 0o700 });
  mkdirSync(runDirectory, { recursive: true, mode: 0o711 });
  const paths = enginePaths(rootDirectory, runDirectory);
  for (const folder of [paths.layers, paths.sandboxes, paths.containers, paths.runtimeState]) {
    mkdirSync(folder, { recursive: true, mode: 0o711 });
    spreadSubfolders(folder);
  }
  findProgram('conmon');
  const cgroups = openCgroups();
  cgroups.create(options.cgroupParent);
  const runtimeNamespace = await RuntimeNamespace.open(paths);
  const context: EngineContext = {
    paths,
    cgroupParent: options.cgroupParent,
    cgroups,
    network: options.network,
    images: options.images,
    sandboxes: await JournaledRecords.open<SandboxRecord>(paths.sandboxRecords, log),
    containers: await JournaledRecords.open<ContainerRecord>(paths.containerRecords, log),
    initLayers: new InitLayers(paths.initLayers),
    runtimeNamespace,
    runtimes: new OciRuntimes(options.runtimes, paths.runtimeState, runtimeNamespace),
    events: new EventHub(),
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
    log,
  };
  const engine = new EmbeddedEngine(context, options.parallelStarts ?? 4);
  await engine.recover();
  return engine;
}

class EmbeddedEngine implements Engine {
  readonly #context: EngineContext;
  readonly #sandboxes: Sandboxes;
  readonly #containers: Containers;
  readonly #execs: Execs;

  constructor(context: EngineContext, parallelStarts: number) {
    this.#context = context;
    this.#containers = new Containers(context, parallelStarts);
    this.#sandboxes = new Sandboxes(context, this.#containers);
    this.#containers.connect(this.#sandboxes);
    this.#execs = new Execs(context, this.#containers);
  }

  async recover(): Promise<void> {
    await this.#containers.recover();
    await this.#sandboxes.recover();
    await this.#removeStrays();
  }

  get unreadableRecords(): string | undefined {
    return this.#context.containers.unreadable ?? this.#context.sandboxes.unreadable;
  }

  /** Folders without a record: what a crash or a power cut left of a creation or a removal, unless a record is lost. */
  async #removeStrays(): Promise<void> {
    const { paths, containers, sandboxes, initLayers, log } = this.#context;
    const unreadable = this.unreadableRecords;
    if (unreadable !== undefined) {
      log.warn('kept the files of containers whose records cannot be read', { unreadable, todo: unreadableAdvice });
      return;
    }
    const ids = new Set([...readdirSync(paths.layers), ...readdirSync(paths.containers)]);
    for (const id of ids) if (containers.get(id) === undefined) await this.#containers.roots.remove(id);
    initLayers.clear(new Set(containers.all().flatMap(({ lowerDirectories }) => lowerDirectories)));
    for (const id of readdirSync(paths.sandboxes)) {
      if (sandboxes.get(id) !== undefined) continue;
      unmountAll(join(paths.sandbox(id), 'shm'));
      await rm(paths.sandbox(id), { recursive: true, force: true });
    }
  }

  async version(): Promise<RuntimeVersion> {
    const ociRuntime = await this.#context.runtimes.for(undefined).version();
    return { runtimeName: 'wherry', runtimeVersion: '0.1.0', ociRuntime };
  }

  async ready(): Promise<void> {
    for (const program of [
      'conmon',
      ...(this.#context.runtimeNamespace.path === undefined ? [] : ['nsenter', 'unshare']),
    ])
      findProgram(program);
    this.#context.runtimes.for(undefined).requireInstalled();
  }

  definePodSandbox(config: PodSandboxConfig): Promise<string> {
    return this.#sandboxes.define(config);
  }

  startPodSandbox(id: string): Promise<PodSandboxStatus> {
    this.anticipate();
    return this.#sandboxes.start(id);
  }

  updatePodSandbox(id: string, change: (config: PodSandboxConfig) => PodSandboxConfig): Promise<void> {
    return this.#sandboxes.update(id, change);
  }

  runPodSandbox(config: PodSandboxConfig): Promise<PodSandboxStatus> {
    this.anticipate();
    return this.#sandboxes.run(config);
  }

  stopPodSandbox(id: string): Promise<void> {
    return this.#sandboxes.stop(id);
  }

  removePodSandbox(id: string): Promise<void> {
    return this.#sandboxes.remove(id);
  }

  async podSandboxStatus(id: string): Promise<PodSandboxStatus> {
    return this.#sandboxes.status(this.#sandboxes.get(id));
  }

  async listPodSandboxes(filter: LabelFilter = {}): Promise<readonly PodSandboxStatus[]> {
    return this.#context.sandboxes
      .all()
      .filter((record) => record.phase !== 'creating' && matches(filter, record.id, record.config.labels))
      .map((record) => this.#sandboxes.status(record));
  }

  createContainer(sandboxId: string, config: ContainerConfig): Promise<string> {
    this.anticipate();
    return this.#containers.create(sandboxId, config);
  }

  updateContainer(id: string, change: (config: ContainerConfig) => ContainerConfig): Promise<void> {
    return this.#containers.update(id, change);
  }

  async persist(id: string): Promise<void> {
    const { sandboxes, containers, images } = this.#context;
    await Promise.all([
      sandboxes.persist(),
      containers.persist(),
      images.persistHold(this.#containers.index.get(id).id),
    ]);
  }

  startContainer(id: string): Promise<void> {
    this.anticipate();
    return this.#containers.start(id);
  }

  stopContainer(id: string, timeoutSeconds: number): Promise<void> {
    return this.#containers.stop(id, timeoutSeconds);
  }

  removeContainer(id: string): Promise<void> {
    return this.#containers.remove(id);
  }

  async containerStatus(id: string): Promise<ContainerStatus> {
    return this.#status(this.#containers.index.get(id));
  }

  #status(record: ContainerRecord): ContainerStatus {
    return containerStatus(record, this.#sandboxes.get(record.sandboxId));
  }

  #matching(filter: LabelFilter & { sandboxId?: string } = {}): ContainerRecord[] {
    return this.#context.containers
      .all()
      .filter(
        (record) =>
          record.phase !== 'creating' &&
          record.phase !== 'removing' &&
          matches(filter, record.id, record.config.labels) &&
          (filter.sandboxId === undefined || record.sandboxId === filter.sandboxId),
      );
  }

  async listContainers(filter?: LabelFilter & { sandboxId?: string }): Promise<readonly ContainerStatus[]> {
    return this.#matching(filter).map((record) => this.#status(record));
  }

  anticipate(): void {
    this.#context.cgroups.anticipateMoves();
  }

  execSync(id: string, command: readonly string[], timeoutSeconds: number): Promise<ExecResult> {
    return this.#execs.runToEnd(id, command, timeoutSeconds);
  }

  exec(id: string, options: ExecOptions): Promise<ExecStreamSession> {
    return this.#execs.run(id, options);
  }

  anticipateExec(id: string, streams: AttachOptions): void {
    this.#execs.anticipate(id, streams);
  }

  async attach(id: string, options: AttachOptions): Promise<StreamSession> {
    return this.#containers.attach(id, options, false);
  }

  async attachEarly(id: string, options: AttachOptions): Promise<StreamSession> {
    return this.#containers.attach(id, options, true);
  }

  async resizeContainer(id: string, size: { width: number; height: number }): Promise<void> {
    this.#containers.resize(id, size);
  }

  async killContainer(id: string, signal: string | number): Promise<void> {
    this.#containers.signal(id, signal);
  }

  async pauseContainer(id: string): Promise<void> {
    const { record } = this.#containers.running(id);
    if (this.#isPaused(record)) throw new WherryError('conflict', `container ${record.id} is already paused`);
    await freezeCgroup(this.#context, this.#containers.index.cgroup(record));
  }

  async unpauseContainer(id: string): Promise<void> {
    const { record } = this.#containers.running(id);
    if (!this.#isPaused(record)) throw new WherryError('conflict', `container ${record.id} is not paused`);
    this.#context.cgroups.freeze(this.#containers.index.cgroup(record), false);
  }

  async isPaused(id: string): Promise<boolean> {
    return this.#isPaused(this.#containers.index.get(id));
  }

  #isPaused(record: ContainerRecord): boolean {
    return record.phase === 'running' && this.#context.cgroups.isFrozen(this.#containers.index.cgroup(record));
  }

  async containerProcesses(id: string): Promise<readonly number[]> {
    const { record } = this.#containers.running(id);
    return this.#context.cgroups.processes(this.#containers.index.cgroup(record));
  }

  async containerMetrics(id: string): Promise<ContainerMetrics> {
    const { record } = this.#containers.running(id);
    return {
      readAt: this.#context.clock.now(),
      ...this.#context.cgroups.metrics(this.#containers.index.cgroup(record)),
    };
  }

  openRootfs(id: string): Promise<OpenRootfs> {
    return this.#containers.openRootfs(id);
  }

  async writableLayerSize(id: string): Promise<number> {
    const { upperDirectory } = this.#containers.roots.layer(this.#containers.index.get(id).id);
    return await treeSize(upperDirectory);
  }

  async portForward(sandboxId: string, port: number): Promise<Duplex> {
    const record = this.#sandboxes.get(sandboxId);
    if (record.phase !== 'ready') throw new WherryError('conflict', `the sandbox ${sandboxId} is not ready`);
    const { net } = this.#sandboxes.namespaces(record);
    try {
      return await dialInNetns(net, '127.0.0.1', port);
    } catch (error) {
      return await dialInNetns(net, '::1', port).catch(() => {
        throw error;
      });
    }
  }

  async containerStats(id: string): Promise<ContainerStats> {
    return this.#stats(this.#containers.index.get(id));
  }

  #stats(record: ContainerRecord): ContainerStats {
    return {
      id: record.id,
      sandboxId: record.sandboxId,
      metadata: record.config.metadata,
      labels: record.config.labels,
      timestamp: this.#context.clock.now(),
      ...this.#context.cgroups.stats(this.#containers.index.cgroup(record)),
      writableLayerBytes: undefined,
    };
  }

  async listContainerStats(filter?: LabelFilter & { sandboxId?: string }): Promise<readonly ContainerStats[]> {
    return this.#matching(filter).flatMap((record) => (record.phase === 'running' ? [this.#stats(record)] : []));
  }

  async updateContainerResources(id: string, resources: ExtendedResources): Promise<void> {
    const { record } = this.#containers.running(id);
    const supported = supportedResources(resources, this.cgroupFeatures());
    this.#context.cgroups.limit(this.#containers.index.cgroup(record), supported);
    const merged = { ...record.config, resources: { ...record.config.resources, ...resources } };
    await this.#context.containers.put({ ...record, config: merged });
  }

  async updateCgroup(path: string, resources: LinuxResources): Promise<void> {
    const { cgroups, cgroupParent } = this.#context;
    const group = join(cgroupParent, normalize(`/${path}`));
    cgroups.create(group);
    cgroups.limit(group, resources);
  }

  async reopenContainerLog(id: string): Promise<void> {
    const { record } = this.#containers.running(id);
    reopenLog(this.#context.paths.container(record.id));
  }

  events(signal: AbortSignal): AsyncIterable<RuntimeEvent> {
    return this.#context.events.listen(signal);
  }

  cgroupFeatures(): CgroupFeatures {
    return this.#context.cgroups.features(this.#context.cgroupParent);
  }

  async destroyAll({ keepRestartable = false }: { readonly keepRestartable?: boolean } = {}): Promise<void> {
    const { sandboxes, containers, paths, cgroupParent } = this.#context;
    const restartable = containers.all().filter(({ config }) => keepRestartable && config.restartable === true);
    const kept = new Set(restartable.map(({ sandboxId }) => sandboxId));
    const end = (id: string): Promise<void> => (kept.has(id) ? this.#sandboxes.stop(id) : this.#sandboxes.remove(id));
    await Promise.all(sandboxes.all().map(({ id }) => end(id)));
    const stray = containers.all().filter(({ sandboxId }) => !kept.has(sandboxId));
    await Promise.all(stray.map(({ id }) => this.#containers.remove(id)));
    await this.#containers.settle();
    await this[Symbol.asyncDispose]();
    await killAndRemoveCgroup(this.#context, monitorGroup(this.#context));
    await killAndRemoveCgroup(this.#context, cgroupParent);
    RuntimeNamespace.close(paths);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#execs[Symbol.dispose]();
    await this.#containers[Symbol.asyncDispose]();
    this.#context.runtimes[Symbol.dispose]();
    this.#context.events.end();
    await this.#context.containers[Symbol.asyncDispose]();
    await this.#context.sandboxes[Symbol.asyncDispose]();
  }
}

function matches(filter: LabelFilter, id: string, labels: Readonly<Record<string, string>>): boolean {
  if (filter.id !== undefined && !id.startsWith(filter.id)) return false;
  return Object.entries(filter.labels ?? {}).every(([key, value]) => labels[key] === value);
}
