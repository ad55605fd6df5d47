import type { Readable } from 'node:stream';
import { codeOf, messageOf, silentLogger, systemClock, systemRandom, WherryError } from '@wherry/base';
import { commitContainer } from '../commit/commit.ts';
import { isRestarting } from '../config/restart-policy.ts';
import { killSignal } from '../config/signals.ts';
import type { ContainerFiles } from '../files/container-files.ts';
import { Connections } from '../lifecycle/connections.ts';
import { Ender } from '../lifecycle/ending.ts';
import { HealthMonitors } from '../lifecycle/health.ts';
import { recoverContainers, startByPolicy } from '../lifecycle/recovery.ts';
import { Remover } from '../lifecycle/remover.ts';
import { Starter, startable } from '../lifecycle/starter.ts';
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
import { type DockerContext, save, saveSoon, tell } from './context.ts';
import { createContainer } from './create.ts';
import { hostView } from './host-view.ts';
import { withLinksLed, withoutLink } from './link-names.ts';
import { checkedName } from './names.ts';
import { NetworkChanges } from './network-changes.ts';
import type { DockerContainersOptions } from './options.ts';
import { pruneContainers } from './prune.ts';
import { RecordStore } from './record-store.ts';
import { ContainerRegistry } from './registry.ts';
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
  readonly #stop = new AbortController();
  #stoppingAll = false;

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
    const container = this.#find(reference);
    const started = await container.lock.run(async () => {
      if (!startable(container)) return false;
      container.restart?.abort();
      container.restart = undefined;
      container.restartDelay = 0;
      await this.#wantRunning(container, { restartCount: 0 });
      await this.#run(container);
      return true;
    });
    // It may have ended before it was known to run.
    if (started) this.#supervisor.settleSoon(container);
    return started;
  }

  /** Written before it runs: its policy holds again from the answer to this start on, also for the next daemon. */
  async #wantRunning(container: Container, change: { readonly restartCount?: number }): Promise<void> {
    const { manuallyStopped, restartCount, host } = container.record;
    container.change({ ...change, manuallyStopped: false });
    if (manuallyStopped || restartCount !== container.record.restartCount)
      await save(this.#context, container, isRestarting(host.RestartPolicy));
  }

  /** The caller holds the lock. */
  async #run(container: Container): Promise<void> {
    try {
      if (this.#stoppingAll) throw new WherryError('unavailable', 'the daemon is shutting down');
      await this.#starter.start(container);
    } catch (error) {
      container.ended();
      if (container.record.host.AutoRemove) await this.#remover.removeEnded(container);
      throw error;
    }
    this.#health.start(container);
    this.#stats.began(container);
  }

  async stop(reference: string, options: { readonly signal?: string; readonly timeout?: number }): Promise<boolean> {
    const container = this.#find(reference);
    try {
      return await this.#ender.stop(container, { ...options, manual: true });
    } catch (error) {
      throw renamed(error, `cannot stop container: ${reference}`, 'internal');
    }
  }

  async stopAll(): Promise<void> {
    const { registry, log } = this.#context;
    this.#stoppingAll = true;
    const end = async (container: Container): Promise<void> => {
      await this.#ender.stop(container, { manual: false });
      // With its removal, when it removes itself.
      await container.lock.run(async () => undefined);
    };
    await Promise.all(
      registry
        .all()
        .map((container) =>
          end(container).catch((error: unknown) =>
            log.error('a container was not stopped', { container: container.id, error: messageOf(error) }),
          ),
        ),
    );
  }

  async restart(reference: string, options: { readonly signal?: string; readonly timeout?: number }): Promise<void> {
    const container = this.#find(reference);
    try {
      await this.#restart(container, options);
    } catch (error) {
      throw renamed(error, `Cannot restart container ${reference}`, 'internal');
    }
  }

  async #restart(
    container: Container,
    options: { readonly signal?: string; readonly timeout?: number },
  ): Promise<void> {
    container.restarting = true;
    try {
      await this.#ender.stop(container, { ...options, manual: false });
      await container.lock.run(async () => {
        if (!startable(container)) return;
        await this.#wantRunning(container, {});
        await this.#run(container);
      });
    } finally {
      container.restarting = false;
    }
    this.#supervisor.settleSoon(container);
    tell(this.#context, container, 'restart');
  }

  async kill(reference: string, signal: string | undefined): Promise<void> {
    try {
      const number = killSignal(signal);
      await this.#ender.kill(this.#find(reference), number);
    } catch (error) {
      throw renamed(error, `cannot kill container: ${reference}`);
    }
  }

  async pause(reference: string): Promise<void> {
    const container = this.#find(reference);
    await container.lock.run(async () => {
      if (container.phase === 'paused')
        throw new WherryError('conflict', `Container ${container.id} is already paused`);
      if (container.phase === 'restarting')
        throw new WherryError(
          'conflict',
          `Container ${container.id} is restarting, wait until the container is running`,
        );
      if (container.phase !== 'running') throw new WherryError('conflict', `container ${container.id} is not running`);
      await this.#context.engine.pauseContainer(container.id);
      container.enter('paused');
      this.#health.stop(container);
      saveSoon(this.#context, container);
    });
    tell(this.#context, container, 'pause');
  }

  async unpause(reference: string): Promise<void> {
    const container = this.#find(reference);
    await container.lock.run(async () => {
      if (container.phase !== 'paused') throw new WherryError('internal', `Container ${container.id} is not paused`);
      await this.#context.engine.unpauseContainer(container.id);
      container.enter('running');
      this.#health.start(container, { resume: true });
      saveSoon(this.#context, container);
    });
    tell(this.#context, container, 'unpause');
  }

  async rename(reference: string, wanted: string): Promise<void> {
    const { registry } = this.#context;
    if (wanted === '') throw new WherryError('invalid', 'Neither old nor new names may be empty');
    const container = this.#find(reference);
    await container.lock.run(async () => {
      const old = container.name;
      if (wanted.replace(/^\//, '') === old)
        throw new WherryError('invalid', 'Renaming a container with the same name as its current name');
      let name: string;
      try {
        name = checkedName(wanted.startsWith('/') ? wanted : `/${wanted}`);
        registry.reserve(name, container.id);
      } catch (error) {
        throw renamed(error, 'Error when allocating new name');
      }
      container.change({ name });
      await save(this.#context, container, true);
      await this.#context.networks.rename(container.id, name);
      registry.release(old, container.id);
      await this.#leadLinks(old, name);
      tell(this.#context, container, 'rename', { oldName: `/${old}` });
    });
  }

  /** Others' links go on leading to a container that has another name now. */
  async #leadLinks(old: string, name: string): Promise<void> {
    for (const other of this.#context.registry.all()) {
      const record = withLinksLed(other.record, old, name);
      if (record === undefined) continue;
      other.change(record);
      await save(this.#context, other, true);
    }
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
    if (options.link) return await this.#removeLink(reference);
    if (container.phase === 'removing')
      throw new WherryError('conflict', `removal of container ${reference} is already in progress`);
    if (options.force) await this.#endForRemoval(container);
    await container.lock.run(async () => {
      if (this.#context.registry.get(container.id) !== container) return;
      refuseRemoval(container);
      await this.#remover.remove(container, options);
    });
  }

  /** `docker rm --link PARENT/ALIAS`: the link goes, both containers stay. */
  async #removeLink(reference: string): Promise<void> {
    const [parentName = '', alias] = reference.replace(/^\//, '').split('/', 2);
    if (alias === undefined)
      throw new WherryError('internal', 'Conflict, cannot remove the default link name of the container');
    const parent = this.#find(parentName);
    await parent.lock.run(async () => {
      const record = withoutLink(parent.record, alias);
      if (record === undefined) return;
      parent.change(record);
      await save(this.#context, parent, true);
      if (parent.alive) await this.#connections.writeFiles(parent);
    });
  }

  async #endForRemoval(container: Container): Promise<void> {
    if (container.phase === 'restarting') await this.#ender.stop(container, { manual: true });
    if (!container.alive) return;
    try {
      await this.#ender.kill(container);
    } catch (error) {
      if (codeOf(error) !== 'conflict') throw error;
    }
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
    await this.#networks.disconnect(network, container);
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

/** The same failure with what was tried before its words. */
function renamed(error: unknown, tried: string, code = codeOf(error) ?? 'internal'): WherryError {
  return new WherryError(code, `${tried}: ${messageOf(error)}`, { cause: error });
}

function refuseRemoval(container: Container): void {
  const why =
    container.phase === 'paused'
      ? 'container is paused and must be unpaused first'
      : container.phase === 'restarting'
        ? 'container is restarting: stop the container before removing or force remove'
        : container.alive
          ? 'container is running: stop the container before removing or force remove'
          : undefined;
  if (why !== undefined) throw new WherryError('conflict', `cannot remove container "/${container.name}": ${why}`);
}
