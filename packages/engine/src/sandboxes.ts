import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join, normalize } from 'node:path';
import { KeyedMutex, WherryError } from '@wherry/base';
import {
  isMountPoint,
  mountTmpfs,
  ProcessHandle,
  pinNewNamespaces,
  removePinnedNamespace,
  unmountAll,
} from '@wherry/linux';
import type { PodSandboxConfig, PodSandboxStatus } from '@wherry/runtime';
import { killAndRemoveCgroup } from './cgroup-cleanup.ts';
import type { EngineContext } from './context.ts';
import { startPodInit } from './pod-init.ts';
import type { SandboxNamespaces } from './spec/build-spec.ts';
import type { SandboxFiles } from './spec/mounts.ts';
import type { SandboxRecord } from './state/records.ts';

/** Bytes of a pod's shared memory, docker's and containerd's default. */
const sharedMemory = 64 << 20;

/** What the sandboxes need of the containers. */
export interface ContainersOfSandbox {
  stopAll(sandboxId: string): Promise<void>;
  removeAll(sandboxId: string): Promise<void>;
}

/** Makes, ends and removes sandboxes: namespaces with an address. */
export class Sandboxes {
  readonly #context: EngineContext;
  readonly #containers: ContainersOfSandbox;
  readonly #locks = new KeyedMutex();

  constructor(context: EngineContext, containers: ContainersOfSandbox) {
    this.#context = context;
    this.#containers = containers;
  }

  async run(config: PodSandboxConfig): Promise<PodSandboxStatus> {
    const { sandboxes, random, clock, runtimeFor } = this.#context;
    checkConfig(config);
    runtimeFor(config.runtimeHandler);
    const id = random.hex(64);
    return await this.#locks.run(id, async () => {
      const record = await sandboxes.put({
        version: 1,
        id,
        config,
        createdAt: clock.now(),
        phase: 'creating',
        ips: [],
      });
      try {
        return this.status(await this.#build(record));
      } catch (error) {
        await this.#undo(record);
        throw error;
      }
    });
  }

  async #build(record: SandboxRecord): Promise<SandboxRecord> {
    const { paths, cgroups, network, sandboxes } = this.#context;
    const { id, config } = record;
    const folder = paths.sandbox(id);
    mkdirSync(folder, { recursive: true, mode: 0o711 });
    const kinds = [
      ...(config.namespaces.network === 'pod' ? (['net', 'uts'] as const) : []),
      ...(config.namespaces.ipc === 'pod' ? (['ipc'] as const) : []),
    ];
    pinNewNamespaces({
      directory: paths.namespaces(id),
      kinds,
      hostname: config.hostname,
      setUp: () => writeSysctls(config, kinds),
    });
    if (config.namespaces.ipc === 'pod') {
      const shm = join(folder, 'shm');
      mkdirSync(shm);
      mountTmpfs(shm, { sizeBytes: sharedMemory, source: 'shm' });
    }
    if (config.namespaces.network === 'pod') writeFileSync(join(folder, 'hostname'), `${config.hostname}\n`);
    if (config.dns !== undefined) writeFileSync(join(folder, 'resolv.conf'), resolvConf(config.dns));
    cgroups.create(this.cgroup(record));
    if (config.resources !== undefined) cgroups.limit(this.cgroup(record), config.resources);
    const init =
      config.namespaces.pid === 'pod'
        ? await startPodInit(folder, (pid) => {
            const group = `${this.cgroup(record)}/init`;
            cgroups.create(group);
            cgroups.attach(group, pid);
          })
        : undefined;
    const netns = this.namespaces(record).net;
    const ips =
      netns === undefined
        ? []
        : (
            await network.add({
              id,
              netns,
              portMappings: config.portMappings,
              name: `${config.metadata.namespace}/${config.metadata.name}`,
            })
          ).ips;
    return await sandboxes.put({ ...record, phase: 'ready', ips, init });
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

  async #disconnect(record: SandboxRecord): Promise<void> {
    const { network, paths, cgroups } = this.#context;
    if (record.init !== undefined) {
      using init = ProcessHandle.open(record.init.pid, record.init.startTime);
      init?.kill('SIGKILL');
      cgroups.kill(`${this.cgroup(record)}/init`);
    }
    await network.del({ id: record.id, netns: this.namespaces(record).net });
    for (const kind of ['net', 'ipc', 'uts']) removePinnedNamespace(join(paths.namespaces(record.id), kind));
    await rm(paths.namespaces(record.id), { recursive: true, force: true });
  }

  async remove(id: string): Promise<void> {
    const record = this.#find(id);
    if (record === undefined) return;
    await this.stop(record.id);
    await this.#containers.removeAll(record.id);
    await this.#locks.run(record.id, () => this.#undo(record));
  }

  /** Takes back everything that `#build` may have made, whichever of it there is. */
  async #undo(record: SandboxRecord): Promise<void> {
    const { paths, sandboxes, log } = this.#context;
    try {
      await this.#disconnect(record);
      unmountAll(join(paths.sandbox(record.id), 'shm'));
      await rm(paths.sandbox(record.id), { recursive: true, force: true });
      const shared = sandboxes
        .all()
        .some((other) => other.id !== record.id && this.cgroup(other) === this.cgroup(record));
      if (!shared) await killAndRemoveCgroup(this.#context, this.cgroup(record));
      await sandboxes.delete(record.id);
    } catch (error) {
      log.error('a sandbox could not be removed whole', { sandbox: record.id, error });
      throw error;
    }
  }

  /** After a start: undoes half-made sandboxes and notices those whose namespaces went with a reboot. */
  async recover(): Promise<void> {
    const { sandboxes, network, log } = this.#context;
    for (const record of sandboxes.all()) {
      if (record.phase === 'creating') await this.#undo(record).catch(() => undefined);
      else if (record.phase === 'ready' && !this.#alive(record)) {
        log.info('the namespaces of a sandbox are gone', { sandbox: record.id });
        await this.#disconnect(record);
        await sandboxes.note({ ...record, phase: 'notReady', init: undefined });
      }
    }
    await network.reconcile(new Set(sandboxes.all().flatMap(({ id, phase }) => (phase === 'ready' ? [id] : []))));
  }

  #alive(record: SandboxRecord): boolean {
    const { net, ipc } = this.namespaces(record);
    if (net !== undefined && !isMountPoint(net)) return false;
    if (ipc !== undefined && !isMountPoint(ipc)) return false;
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

  /** Absolute path of the pod's cgroup. */
  cgroup(record: SandboxRecord): string {
    return join(this.#context.cgroupParent, normalize(`/${record.config.cgroupParent}`));
  }

  namespaces(record: SandboxRecord): SandboxNamespaces {
    const { network, pid, ipc } = record.config.namespaces;
    const at = (kind: string): string => join(this.#context.paths.namespaces(record.id), kind);
    return {
      net: network === 'pod' ? at('net') : undefined,
      uts: network === 'pod' ? at('uts') : undefined,
      ipc: ipc === 'pod' ? at('ipc') : undefined,
      pid: pid === 'node' ? 'node' : record.init === undefined ? undefined : `/proc/${record.init.pid}/ns/pid`,
    };
  }

  files(record: SandboxRecord): SandboxFiles {
    const at = (name: string): string | undefined => {
      const path = join(this.#context.paths.sandbox(record.id), name);
      return existsSync(path) ? path : undefined;
    };
    return { shm: at('shm'), hostname: at('hostname'), resolvConf: at('resolv.conf') };
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
      networkNamespace: this.namespaces(record).net,
    };
  }
}

function checkConfig(config: PodSandboxConfig): void {
  if (Buffer.byteLength(config.hostname) > 64)
    throw new WherryError('invalid', `the host name ${config.hostname} is longer than 64 bytes`);
  if (config.cgroupParent.split('/').includes('..'))
    throw new WherryError('invalid', `the cgroup ${config.cgroupParent} leaves its parent`);
  if (config.cgroupParent.replaceAll('/', '') === '')
    throw new WherryError('invalid', 'a sandbox needs a cgroup of its own');
}

/** Settings of the new namespaces only: anything else would change the host. */
function writeSysctls(config: PodSandboxConfig, kinds: readonly string[]): void {
  for (const [name, value] of Object.entries(config.sysctls ?? {})) {
    const kind = name.startsWith('net.')
      ? 'net'
      : /^(kernel\.(shm|msg|sem)|fs\.mqueue\.)/.test(name)
        ? 'ipc'
        : undefined;
    if (kind === undefined || !kinds.includes(kind) || !/^[a-z0-9_.-]+$/i.test(name) || name.includes('..'))
      throw new WherryError(
        'invalid',
        `the sysctl ${JSON.stringify(name)} does not belong to the namespaces of the pod`,
      );
    try {
      writeFileSync(join('/proc/sys', ...name.split('.')), value, { flag: 'r+' });
    } catch (error) {
      throw new WherryError('invalid', `cannot set the sysctl ${name} to ${JSON.stringify(value)}`, { cause: error });
    }
  }
}

function resolvConf(dns: NonNullable<PodSandboxConfig['dns']>): string {
  return [
    ...(dns.searches.length === 0 ? [] : [`search ${dns.searches.join(' ')}`]),
    ...dns.servers.map((server) => `nameserver ${server}`),
    ...(dns.options.length === 0 ? [] : [`options ${dns.options.join(' ')}`]),
    '',
  ].join('\n');
}
