import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { KeyedMutex, WherryError } from '@wherry/base';
import { listMounts, mountFlags, mountTmpfs, ProcessHandle, unmountAll } from '@wherry/linux';
import type { PodSandboxConfig, PodSandboxStatus } from '@wherry/runtime';
import { killAndRemoveCgroup } from './cgroup-cleanup.ts';
import { type ContainerIndex, sandboxCgroup } from './container-index.ts';
import type { EngineContext } from './context.ts';
import { checkedId } from './ids.ts';
import { startPodInit } from './pod-init.ts';
import { dropNamespaces, makeNamespaces, ownNamespaces } from './sandbox-namespaces.ts';
import type { SandboxNamespaces } from './spec/build-spec.ts';
import type { SandboxFiles } from './spec/mounts.ts';
import type { ProcessIdentity, SandboxRecord } from './state/records.ts';

/** Bytes of a pod's shared memory, docker's and containerd's default. */
const sharedMemory = 64 << 20;
/** Sandboxes that hand on another's ipc namespace; more than these go round in a circle. */
const mostOthers = 16;

/** What the sandboxes need of the containers. */
export interface ContainersOfSandbox {
  readonly index: ContainerIndex;
  stopAll(sandboxId: string): Promise<void>;
  removeAll(sandboxId: string): Promise<void>;
}

/** Makes, ends and removes sandboxes: namespaces with an address. */
export class Sandboxes {
  readonly #context: EngineContext;
  readonly #containers: ContainersOfSandbox;
  readonly #locks = new KeyedMutex();
  /** Sandboxes that are about to give up their cgroups. */
  readonly #leaving = new Set<string>();

  constructor(context: EngineContext, containers: ContainersOfSandbox) {
    this.#context = context;
    this.#containers = containers;
  }

  async run(config: PodSandboxConfig): Promise<PodSandboxStatus> {
    const id = this.#idFor(config);
    return await this.#locks.run(id, async () => {
      const record = await this.#put(id, config, 'creating');
      try {
        return this.status(await this.#build(record));
      } catch (error) {
        await this.#undo(record);
        throw error;
      }
    });
  }

  /** Writes it down. */
  async define(config: PodSandboxConfig): Promise<string> {
    const id = this.#idFor(config);
    await this.#locks.run(id, () => this.#put(id, config, 'notReady', { shares: true }));
    return id;
  }

  #idFor(config: PodSandboxConfig): string {
    const { sandboxes, random, runtimes } = this.#context;
    checkConfig(config);
    runtimes.for(config.runtimeHandler).requireInstalled();
    return checkedId(config.id, 'sandbox', (id) => sandboxes.get(id) !== undefined) ?? random.hex(64);
  }

  #put(
    id: string,
    config: PodSandboxConfig,
    phase: 'creating' | 'notReady',
    more: Pick<SandboxRecord, 'shares'> = {},
  ): Promise<SandboxRecord> {
    const createdAt = this.#context.clock.now();
    return this.#context.sandboxes.put({ version: 1, id, config, createdAt, phase, ips: [], ...more });
  }

  async start(id: string): Promise<PodSandboxStatus> {
    const found = this.get(id);
    return await this.#locks.run(found.id, async () => {
      const record = this.#settled(found.id);
      const starting = await this.#context.sandboxes.put({ ...record, phase: 'starting', ips: [] });
      try {
        return this.status(await this.#build(starting));
      } catch (error) {
        await this.#disconnect(starting);
        await this.#context.sandboxes.note({ ...starting, phase: 'notReady' });
        throw error;
      }
    });
  }

  async update(id: string, change: (config: PodSandboxConfig) => PodSandboxConfig): Promise<void> {
    const found = this.get(id);
    await this.#locks.run(found.id, async () => {
      const record = this.#settled(found.id);
      const config = change(record.config);
      if (config === record.config) return;
      checkConfig(config);
      if ((config.id ?? record.id) !== record.id)
        throw new WherryError('invalid', 'the id of a sandbox does not change');
      this.#context.runtimes.for(config.runtimeHandler);
      await this.#context.sandboxes.put({ ...record, config });
    });
  }

  #settled(id: string): SandboxRecord {
    const record = this.get(id);
    if (record.phase !== 'notReady') throw new WherryError('conflict', `the sandbox ${id} is ${record.phase}`);
    return record;
  }

  async #build(record: SandboxRecord): Promise<SandboxRecord> {
    const { paths, cgroups, sandboxes } = this.#context;
    const { id, config } = record;
    const folder = paths.sandbox(id);
    mkdirSync(folder, { recursive: true, mode: 0o711 });
    await makeNamespaces(paths.namespaces(id), config);
    this.#writeFiles(folder, config);
    const group = sandboxCgroup(this.#context, record);
    cgroups.create(group);
    if (config.resources !== undefined) cgroups.limit(group, config.resources);
    const init = config.namespaces.pid === 'pod' ? await this.#startInit(record) : undefined;
    const ips = await this.#connect(record);
    return await sandboxes.put({ ...record, phase: 'ready', ips, init });
  }

  #writeFiles(folder: string, config: PodSandboxConfig): void {
    const own = ownNamespaces(config);
    if (config.namespaces.ipc === 'pod') {
      const shm = join(folder, 'shm');
      mkdirSync(shm, { recursive: true });
      const flags = mountFlags.noSetUid | mountFlags.noDevices | mountFlags.noExecute;
      mountTmpfs(shm, { sizeBytes: config.sharedMemoryBytes ?? sharedMemory, source: 'shm', flags });
    }
    if (own.includes('uts')) writeFileSync(join(folder, 'hostname'), `${config.hostname}\n`);
    if (config.dns !== undefined) writeFileSync(join(folder, 'resolv.conf'), resolvConf(config.dns));
  }

  async #startInit(record: SandboxRecord): Promise<ProcessIdentity> {
    const { cgroups, paths } = this.#context;
    return await startPodInit(paths.sandbox(record.id), (pid) => {
      const group = `${sandboxCgroup(this.#context, record)}/init`;
      cgroups.create(group);
      cgroups.attach(group, pid);
    });
  }

  async #connect({ id, config }: SandboxRecord): Promise<readonly string[]> {
    if (config.namespaces.network !== 'pod') return [];
    const result = await this.#context.network.add({
      id,
      netns: join(this.#context.paths.namespaces(id), 'net'),
      portMappings: config.portMappings,
      name: `${config.metadata.namespace}/${config.metadata.name}`,
    });
    return result.ips;
  }

  /** Ends the sandbox's containers and gives back its network. */
  async stop(id: string): Promise<void> {
    const record = this.#find(id);
    if (record === undefined) return;
    await this.#containers.stopAll(record.id);
    await this.#locks.run(record.id, async () => {
      const current = this.#context.sandboxes.get(record.id);
      if (current === undefined || current.phase === 'notReady') return;
      await this.#disconnect(current);
      await this.#context.sandboxes.note({ ...current, phase: 'notReady', init: undefined });
      this.#context.events.emit({ type: 'sandboxStopped', sandboxId: current.id, labels: current.config.labels });
    });
  }

  /** Takes back what `#build` may have made, whichever of it there is, but for the cgroup that others may share. */
  async #disconnect(record: SandboxRecord): Promise<void> {
    const { network, paths, cgroups } = this.#context;
    if (record.config.namespaces.pid === 'pod') {
      using init = record.init && ProcessHandle.open(record.init.pid, record.init.startTime);
      init?.kill('SIGKILL');
      cgroups.kill(`${sandboxCgroup(this.#context, record)}/init`);
    }
    if (record.config.namespaces.network === 'pod')
      await network.del({ id: record.id, netns: this.#own(record, 'net') });
    dropNamespaces(paths.namespaces(record.id));
    unmountAll(join(paths.sandbox(record.id), 'shm'));
    await Promise.all(
      [paths.namespaces(record.id), paths.sandbox(record.id)].map((path) => rm(path, { recursive: true, force: true })),
    );
  }

  async remove(id: string): Promise<void> {
    const record = this.#find(id);
    if (record === undefined) return;
    await this.stop(record.id);
    await this.#containers.removeAll(record.id);
    await this.#locks.run(record.id, () => this.#undo(record));
  }

  async #undo(record: SandboxRecord): Promise<void> {
    const { sandboxes, log } = this.#context;
    try {
      await this.#disconnect(record);
      await this.#removeCgroup(record);
      await sandboxes.delete(record.id);
    } catch (error) {
      log.error('a sandbox could not be removed whole', { sandbox: record.id, error });
      throw error;
    } finally {
      this.#leaving.delete(record.id);
    }
  }

  /** Unless others are in it: another sandbox of the pod, or what is to be started in a moment. */
  async #removeCgroup(record: SandboxRecord): Promise<void> {
    const { sandboxes, cgroups } = this.#context;
    const group = sandboxCgroup(this.#context, record);
    this.#leaving.add(record.id);
    const isUsed = (): boolean =>
      sandboxes.all().some((other) => {
        const theirs = sandboxCgroup(this.#context, other);
        return !this.#leaving.has(other.id) && (theirs === group || theirs.startsWith(`${group}/`));
      });
    if (record.shares !== true) await killAndRemoveCgroup(this.#context, group, isUsed);
    else if (!isUsed()) cgroups.remove(group);
  }

  /** After a start: undoes half-made sandboxes and notices those whose namespaces went with a reboot. */
  async recover(): Promise<void> {
    const { sandboxes, network, log } = this.#context;
    const mounted = new Set(listMounts().map((mount) => mount.mountPoint));
    for (const record of sandboxes.all()) {
      if (record.phase === 'creating') await this.#undo(record).catch(() => undefined);
      else if (record.phase === 'starting' || (record.phase === 'ready' && !this.#alive(record, mounted))) {
        log.info('the namespaces of a sandbox are gone', { sandbox: record.id });
        await this.#disconnect(record);
        await sandboxes.note({ ...record, phase: 'notReady', init: undefined });
      }
    }
    await network.reconcile(new Set(sandboxes.all().flatMap(({ id, phase }) => (phase === 'ready' ? [id] : []))));
  }

  #alive(record: SandboxRecord, mounted: ReadonlySet<string>): boolean {
    const { paths } = this.#context;
    if (!existsSync(paths.sandbox(record.id))) return false;
    if (ownNamespaces(record.config).some((kind) => !mounted.has(join(paths.namespaces(record.id), kind))))
      return false;
    if (record.config.namespaces.pid !== 'pod') return true;
    using init = record.init && ProcessHandle.open(record.init.pid, record.init.startTime);
    return init !== undefined;
  }

  #find(id: string): SandboxRecord | undefined {
    const { sandboxes } = this.#context;
    const exact = sandboxes.get(id);
    if (exact !== undefined || id.length < 4) return exact;
    const matches = sandboxes.all().filter((record) => record.id.startsWith(id));
    return matches.length === 1 ? matches[0] : undefined;
  }

  get(id: string): SandboxRecord {
    const record = this.#find(id);
    if (record === undefined) throw new WherryError('notFound', `there is no sandbox ${id}`);
    return record;
  }

  #own(record: SandboxRecord, kind: 'net' | 'ipc' | 'uts' | 'user'): string | undefined {
    const has =
      kind === 'user' ? record.config.namespaces.user !== undefined : ownNamespaces(record.config).includes(kind);
    return has ? join(this.#context.paths.namespaces(record.id), kind) : undefined;
  }

  /** Who shares a namespace of another must be of the users that it belongs to. */
  #usersOf(record: SandboxRecord): string | undefined {
    const { network, pid, ipc } = record.config.namespaces;
    const own = this.#own(record, 'user');
    const other = [network, pid, ipc].find((mode) => typeof mode === 'object');
    return own === undefined || other === undefined
      ? own
      : `/proc/${this.#containers.index.processOf(other.container)}/ns/user`;
  }

  /** What its containers join. Throws `conflict` when one whose namespaces it shares does not run. */
  namespaces(record: SandboxRecord): SandboxNamespaces {
    const { network, pid, ipc, uts } = record.config.namespaces;
    const of = (mode: typeof network | typeof pid | typeof ipc, kind: 'net' | 'ipc' | 'pid'): string | undefined =>
      typeof mode === 'string' ? undefined : `/proc/${this.#containers.index.processOf(mode.container)}/ns/${kind}`;
    const init = record.init && `/proc/${record.init.pid}/ns/pid`;
    return {
      net: of(network, 'net') ?? this.#own(record, 'net'),
      uts: uts === 'container' ? 'own' : this.#own(record, 'uts'),
      ipc: ipc === 'container' ? 'own' : (of(ipc, 'ipc') ?? this.#own(record, 'ipc')),
      pid: of(pid, 'pid') ?? (pid === 'node' ? 'node' : init),
      user: this.#usersOf(record),
      cgroup: record.config.namespaces.cgroup,
    };
  }

  files(record: SandboxRecord): SandboxFiles {
    const at = (name: string): string | undefined => {
      const path = join(this.#context.paths.sandbox(record.id), name);
      return existsSync(path) ? path : undefined;
    };
    return { shm: this.#sharedMemory(record), hostname: at('hostname'), resolvConf: at('resolv.conf') };
  }

  /** That of the sandbox whose ipc namespace it is. */
  #sharedMemory({ id, config }: SandboxRecord, others = 0): string | number | undefined {
    const { ipc } = config.namespaces;
    if (ipc === 'none') return undefined;
    if (ipc === 'node') return '/dev/shm';
    if (ipc === 'container') return config.sharedMemoryBytes ?? sharedMemory;
    if (ipc === 'pod') return join(this.#context.paths.sandbox(id), 'shm');
    if (others > mostOthers) throw new WherryError('conflict', `the sandbox ${id} shares its own ipc namespace`);
    return this.#sharedMemory(this.get(this.#containers.index.get(ipc.container).sandboxId), others + 1);
  }

  status(record: SandboxRecord): PodSandboxStatus {
    const { config } = record;
    return {
      id: record.id,
      metadata: config.metadata,
      state: record.phase === 'ready' ? 'ready' : 'notReady',
      createdAt: record.createdAt,
      ips: record.ips,
      labels: config.labels,
      annotations: config.annotations,
      networkNamespace: this.#own(record, 'net'),
    };
  }
}

function checkConfig(config: PodSandboxConfig): void {
  if (config.cgroupParent.split('/').includes('..'))
    throw new WherryError('invalid', `the cgroup ${config.cgroupParent} leaves its parent`);
  if (config.cgroupParent.replaceAll('/', '') === '')
    throw new WherryError('invalid', 'a sandbox needs a cgroup of its own');
  if (config.namespaces.user !== undefined && config.namespaces.pid === 'pod')
    throw new WherryError('unsupported', 'a shared process namespace together with a user namespace');
}

function resolvConf(dns: NonNullable<PodSandboxConfig['dns']>): string {
  return [
    ...(dns.searches.length === 0 ? [] : [`search ${dns.searches.join(' ')}`]),
    ...dns.servers.map((server) => `nameserver ${server}`),
    ...(dns.options.length === 0 ? [] : [`options ${dns.options.join(' ')}`]),
    '',
  ].join('\n');
}
