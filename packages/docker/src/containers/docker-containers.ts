import type { Readable } from 'node:stream';
import { messageOf, silentLogger, systemClock, systemRandom, WherryError } from '@wherry/base';
import { commitContainer } from '../commit/commit.ts';
import { killSignal } from '../config/signals.ts';
import type { ContainerFiles } from '../files/container-files.ts';
import { Connections } from '../lifecycle/connections.ts';
import { Ender } from '../lifecycle/ending.ts';
import { HealthMonitors } from '../lifecycle/health.ts';
import { recoverContainers, startByPolicy } from '../lifecycle/recovery.ts';
import { Remover } from '../lifecycle/remover.ts';
import { Runs } from '../lifecycle/runs.ts';
import { Starter } from '../lifecycle/starter.ts';
import { Supervisor } from '../lifecycle/supervisor.ts';
import { settledEnd, waitFor } from '../lifecycle/waits.ts';
import { StatsSource } from '../stats/stats.ts';
import { topOf } from '../stats/top.ts';
import { attachContainer } from '../streams/attach.ts';
import { Execs } from '../streams/execs.ts';
import { containerLogs } from '../streams/logs.ts';
import { systemNanoClock } from '../times.ts';
import { inspectContainer } from '../view/inspect.ts';
import { listContainers, newestFirst } from '../view/list.ts';
import type { Container } from './container.ts';
import { openContainerView } from './container-view.ts';
import type { AttachRequest, CommitRequest, DockerContainers, Filters, JsonObject, LogsRequest } from './containers.ts';
import { type DockerContext, tell } from './context.ts';
import { createContainer } from './create.ts';
import { hostView } from './host-view.ts';
import { NetworkChanges } from './network-changes.ts';
import type { DockerContainersOptions } from './options.ts';
import { pruneContainers } from './prune.ts';
import { RecordStore } from './record-store.ts';
import { ContainerRegistry } from './registry.ts';
import { type Removal, removeContainer, removeLink } from './remove.ts';
import { renameContainer } from './rename.ts';
import { reworded } from './reworded.ts';
import { decodeUpdate, updateContainer } from './update.ts';

/** Docker's containers with their end: disposing them lets go of everything; what runs, runs on. */
export interface OpenDockerContainers extends DockerContainers, AsyncDisposable {
  /**
   * Ends what runs, each container by its own signal and within its own patience, as dockerd does at its end. No user has
   * stopped it: policies start it again with the next daemon. From now on nothing starts.
   */
  stopAll(): Promise<void>;
}

/** Opens docker's containers on their folder and takes over what a former daemon left. */
export async function createDockerContainers(options: DockerContainersOptions): Promise<OpenDockerContainers> {
  const log = options.log ?? silentLogger;
  const context: DockerContext = {
    ...options,
    registry: new ContainerRegistry(),
    store: await RecordStore.open(options.rootDirectory, log),
    host: hostView(options.host),
    clock: options.clock ?? systemClock,
    now: options.now ?? systemNanoClock(),
    random: options.random ?? systemRandom,
    log,
  };
  const containers = new EngineContainers(context);
  await containers.recover();
  return containers;
}

class EngineContainers implements OpenDockerContainers {
  readonly #context: DockerContext;
  readonly #connections: Connections;
  readonly #health: HealthMonitors;
  readonly #execs: Execs;
  readonly #stats: StatsSource;
  readonly #remover: Remover;
  readonly #starter: Starter;
  readonly #supervisor: Supervisor;
  readonly #ender: Ender;
  readonly #networks: NetworkChanges;
  readonly #files: ContainerFiles;
  readonly #runs: Runs;
  readonly #removal: Removal;
  readonly #stop = new AbortController();

  constructor(context: DockerContext) {
    this.#context = context;
    this.#connections = new Connections(context);
    this.#health = new HealthMonitors(context);
    this.#execs = new Execs(context);
    this.#stats = new StatsSource(context);
    this.#remover = new Remover(context, (container) => this.#stats.forget(container));
    this.#starter = new Starter(context, this.#connections);
    this.#ender = new Ender(context);
    this.#networks = new NetworkChanges(context, this.#connections);
    this.#supervisor = new Supervisor(context, {
      starter: this.#starter,
      remover: this.#remover,
      health: this.#health,
      onEnd: (container) => {
        this.#stats.forget(container);
        this.#execs.containerEnded(container);
      },
    });
    this.#removal = { ender: this.#ender, remover: this.#remover };
    this.#runs = new Runs(context, {
      ...this.#removal,
      starter: this.#starter,
      supervisor: this.#supervisor,
      health: this.#health,
      onRun: (container) => this.#stats.began(container),
    });
    this.#files = context.files((id) => openContainerView(context, this.#find(id)));
  }

  async recover(): Promise<void> {
    const parts = {
      connections: this.#connections,
      health: this.#health,
      remover: this.#remover,
      starter: this.#starter,
      supervisor: this.#supervisor,
    };
    // Listening before looking: no end falls between.
    const watching = this.#supervisor.watch(this.#context.engine.events(this.#stop.signal));
    watching.catch((error: unknown) => {
      if (!this.#stop.signal.aborted)
        this.#context.log.error('the engine tells of nothing more', { error: messageOf(error) });
    });
    await recoverContainers(this.#context, parts);
    await startByPolicy(this.#context, parts, this.#stop.signal);
  }

  #find(reference: string): Container {
    return this.#context.registry.find(reference);
  }

  create(
    body: JsonObject,
    options: { readonly name?: string; readonly platform?: string },
  ): Promise<{ readonly Id: string; readonly Warnings: readonly string[] }> {
    return createContainer(this.#context, body, options);
  }

  list(options: {
    readonly all: boolean;
    readonly limit?: number;
    readonly size: boolean;
    readonly filters: Filters;
  }): Promise<readonly JsonObject[]> {
    return listContainers(this.#context, options);
  }

  async inspect(reference: string, options: { readonly size: boolean }): Promise<JsonObject> {
    return await inspectContainer(this.#context, this.#find(reference), options);
  }

  async start(reference: string): Promise<boolean> {
    return await this.#runs.start(this.#find(reference));
  }

  async stop(reference: string, options: { readonly signal?: string; readonly timeout?: number }): Promise<boolean> {
    const container = this.#find(reference);
    try {
      return await this.#ender.stop(container, { ...options, manual: true });
    } catch (error) {
      throw reworded(error, `cannot stop container: ${reference}`, 'internal');
    }
  }

  async stopAll(): Promise<void> {
    await this.#runs.stopAll();
  }

  async restart(reference: string, options: { readonly signal?: string; readonly timeout?: number }): Promise<void> {
    const container = this.#find(reference);
    try {
      await this.#runs.restart(container, options);
    } catch (error) {
      throw reworded(error, `Cannot restart container ${reference}`, 'internal');
    }
  }

  async kill(reference: string, signal: string | undefined): Promise<void> {
    try {
      const number = killSignal(signal);
      await this.#ender.kill(this.#find(reference), number);
    } catch (error) {
      throw reworded(error, `cannot kill container: ${reference}`);
    }
  }

  async pause(reference: string): Promise<void> {
    await this.#runs.pause(this.#find(reference));
  }

  async unpause(reference: string): Promise<void> {
    await this.#runs.unpause(this.#find(reference));
  }

  async rename(reference: string, wanted: string): Promise<void> {
    if (wanted === '') throw new WherryError('invalid', 'Neither old nor new names may be empty');
    await renameContainer(this.#context, this.#find(reference), wanted);
  }

  async update(reference: string, body: JsonObject): Promise<{ readonly Warnings: readonly string[] | null }> {
    const update = decodeUpdate(this.#context, body);
    return await updateContainer(this.#context, this.#find(reference), update);
  }

  async remove(
    reference: string,
    options: { readonly force: boolean; readonly volumes: boolean; readonly link: boolean },
  ): Promise<void> {
    const container = this.#find(reference);
    if (options.link) await removeLink(this.#context, reference, (parent) => this.#connections.writeFiles(parent));
    else await removeContainer(this.#context, this.#removal, { container, reference, ...options });
  }

  prune(
    filters: Filters,
  ): Promise<{ readonly ContainersDeleted: readonly string[] | null; readonly SpaceReclaimed: number }> {
    return pruneContainers(this.#context, filters, (container) =>
      this.remove(container.id, { force: false, volumes: false, link: false }),
    );
  }

  async wait(
    reference: string,
    condition: 'not-running' | 'next-exit' | 'removed',
    signal: AbortSignal,
  ): Promise<{ readonly result: ReturnType<typeof waitFor> }> {
    return { result: waitFor(this.#find(reference), condition, signal) };
  }

  attach(reference: string, request: AttachRequest): ReturnType<DockerContainers['attach']> {
    return attachContainer(this.#context, this.#find(reference), request);
  }

  async resize(reference: string, size: { readonly width: number; readonly height: number }): Promise<void> {
    const container = this.#find(reference);
    if (!container.alive) throw new WherryError('conflict', `container ${container.id} is not running`);
    await this.#context.engine.resizeContainer(container.id, size);
    tell(this.#context, container, 'resize', { height: String(size.height), width: String(size.width) });
  }

  async logs(reference: string, request: LogsRequest): ReturnType<DockerContainers['logs']> {
    return containerLogs(this.#context, this.#find(reference), request, settledEnd);
  }

  async top(reference: string, psArguments: string): ReturnType<DockerContainers['top']> {
    return await topOf(this.#context, this.#find(reference), psArguments);
  }

  async stats(
    reference: string,
    options: { readonly stream: boolean; readonly oneShot: boolean },
    signal: AbortSignal,
  ): Promise<AsyncIterable<JsonObject>> {
    return this.#stats.read(this.#find(reference), options, signal);
  }

  async connectNetwork(network: string, reference: string, endpoint: JsonObject): Promise<void> {
    await this.#networks.connect(network, this.#find(reference), endpoint);
  }

  async disconnectNetwork(network: string, reference: string, options: { readonly force: boolean }): Promise<void> {
    let container: Container;
    try {
      container = this.#find(reference);
    } catch (error) {
      if (!options.force) throw error;
      return await this.#networks.drop(network, reference);
    }
    await this.#networks.disconnect(network, container, options);
  }

  async createExec(reference: string, body: JsonObject): Promise<{ readonly Id: string }> {
    return this.#execs.create(this.#find(reference), reference, body);
  }

  async checkExec(id: string): Promise<void> {
    this.#execs.check(id);
  }

  startExec(
    id: string,
    options: Parameters<DockerContainers['startExec']>[1],
  ): ReturnType<DockerContainers['startExec']> {
    return this.#execs.start(id, options);
  }

  async inspectExec(id: string): Promise<JsonObject> {
    return this.#execs.inspect(id);
  }

  async resizeExec(id: string, size: { readonly width: number; readonly height: number }): Promise<void> {
    await this.#execs.resize(id, size);
  }

  async changes(reference: string): ReturnType<DockerContainers['changes']> {
    return await this.#files.changes({ id: this.#find(reference).id, reference });
  }

  async export(reference: string): Promise<Readable> {
    const container = this.#find(reference);
    const archive = await this.#files.export({ id: container.id, reference });
    tell(this.#context, container, 'export');
    return archive;
  }

  async statPath(reference: string, path: string): ReturnType<DockerContainers['statPath']> {
    return await this.#files.statPath({ id: this.#find(reference).id, reference }, path);
  }

  async getArchive(reference: string, path: string): ReturnType<DockerContainers['getArchive']> {
    const container = this.#find(reference);
    const found = await this.#files.getArchive({ id: container.id, reference }, path);
    tell(this.#context, container, 'archive-path');
    return found;
  }

  async putArchive(
    reference: string,
    path: string,
    archive: Readable,
    options: { readonly noOverwriteDirNonDir: boolean; readonly copyUidGid: boolean },
  ): Promise<void> {
    const container = this.#find(reference);
    await this.#files.putArchive({ id: container.id, reference }, path, archive, options);
    tell(this.#context, container, 'extract-to-dir');
  }

  async commit(request: CommitRequest): Promise<{ readonly Id: string }> {
    return await commitContainer(this.#context, this.#find(request.container), request);
  }

  userOfImage(image: string): { readonly containerId: string; readonly running: boolean } | undefined {
    const users = newestFirst(this.#context.registry.all()).filter(({ record }) => record.imageId === image);
    const user = users.find(({ alive }) => alive) ?? users[0];
    return user === undefined ? undefined : { containerId: user.id, running: user.alive };
  }

  counts(): { readonly running: number; readonly paused: number; readonly stopped: number } {
    const count = { running: 0, paused: 0, stopped: 0 };
    for (const { phase } of this.#context.registry.all())
      count[phase === 'paused' ? 'paused' : phase === 'running' || phase === 'restarting' ? 'running' : 'stopped']++;
    return count;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#health[Symbol.dispose]();
    this.#stats[Symbol.dispose]();
    for (const container of this.#context.registry.all()) container.restart?.abort();
    await this.#connections[Symbol.asyncDispose]();
    await this.#context.store[Symbol.asyncDispose]();
  }
}
