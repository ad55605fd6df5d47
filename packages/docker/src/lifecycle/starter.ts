import { codeOf, equalJson, messageOf, WherryError } from '@wherry/base';
import type { ContainerConfig as EngineConfig } from '@wherry/runtime';
import { containerOfMode } from '../config/modes.ts';
import { isRestarting } from '../config/restart-policy.ts';
import type { Container } from '../containers/container.ts';
import { type DockerContext, saveSoon, tell } from '../containers/context.ts';
import { engineConfig } from '../mapping/engine-config.ts';
import { groupNumbers, needsGroups } from '../mapping/groups.ts';
import { hostnameOf, sandboxConfig } from '../mapping/sandbox-config.ts';
import { formatNano, never } from '../times.ts';
import type { Connections } from './connections.ts';
import { linksOfStart, linkVariables } from './links.ts';
import { checkSpecification, checkTask } from './start-checks.ts';
import { startFailure, startUnknown } from './start-failure.ts';
import { closeMounts, openMounts, tellMounted, tellUnmounted } from './volume-mounts.ts';

/** Brings containers to run and gives back what a run has taken. Its callers hold the container's lock. */
export class Starter {
  readonly #context: DockerContext;
  readonly #connections: Connections;
  /** What the engine has of a container, so that it is not written again for nothing. */
  readonly #configs = new WeakMap<Container, EngineConfig>();
  /** Whose volumes nobody was told of, as their start has not come that far. */
  readonly #untold = new WeakSet<Container>();

  constructor(context: DockerContext, connections: Connections) {
    this.#context = context;
    this.#connections = connections;
  }

  /** Runs it, or leaves nothing of the attempt but its error in the container's state. */
  async start(container: Container): Promise<void> {
    const { engine, now } = this.#context;
    try {
      await this.#prepare(container);
      checkTask(container.record.host, this.#context.host.cgroupVersion);
      await engine.startContainer(container.id);
    } catch (thrown) {
      const { error, exitCode } = startFailure(thrown);
      await this.release(container);
      container.enter(container.phase === 'created' ? 'created' : 'exited', {
        exitCode: codeAfterFailure(container, exitCode),
        error: error.message,
      });
      saveSoon(this.#context, container);
      throw error;
    }
    const { pid } = await engine.containerStatus(container.id);
    container.pid = pid ?? 0;
    // After a power cut its policy looks at whether it ever ran; what came later may be forgotten.
    const durable = !hasRun(container) && isRestarting(container.record.host.RestartPolicy);
    const startedAt = formatNano(now());
    container.enter('running', {
      startedAt,
      finishedAt: container.record.state.finishedAt,
      exitCode: 0,
      error: '',
      oomKilled: false,
    });
    container.stopping = false;
    saveSoon(this.#context, container, durable);
    tell(this.#context, container, 'start');
  }

  async #prepare(container: Container): Promise<void> {
    const { engine } = this.#context;
    checkSpecification(container.record.host);
    this.#checkJoined(container);
    const hostname = hostnameOf(this.#context, container.record, true);
    if (hostname !== container.record.config.Hostname)
      container.change({ config: { ...container.record.config, Hostname: hostname } });
    const { record } = container;
    // What the modes `container:…` mean, and host names, may have changed since the last start.
    await engine.updatePodSandbox(container.id, (old) => {
      const next = sandboxConfig(this.#context, record, { starting: true });
      return equalJson(old, next) ? old : next;
    });
    this.#untold.add(container);
    const [mounts, sandbox] = await Promise.all([
      openMounts(this.#context, record),
      engine.startPodSandbox(container.id),
    ]);
    await this.#connections.open(container, sandbox.networkNamespace);
    this.#untold.delete(container);
    tellMounted(this.#context, record);
    const env =
      record.host.NetworkMode === 'bridge' && (record.host.Links ?? []).length > 0
        ? linkVariables(this.#context, container, linksOfStart(this.#context, container))
        : [];
    const config = engineConfig(this.#context, record, { mounts, env, ...(await this.#groups(container)) });
    if (equalJson(this.#configs.get(container), config)) return;
    await engine.updateContainer(container.id, () => config);
    this.#configs.set(container, config);
  }

  /** Namespaces are shared with containers that run. */
  #checkJoined({ record: { host } }: Container): void {
    const network = this.#joined(host.NetworkMode);
    if (network?.alive === false)
      throw new WherryError('conflict', `cannot join network of a non running container: ${network.id}`);
    for (const [kind, mode] of [
      ['IPC', host.IpcMode],
      ['PID', host.PidMode],
    ] as const)
      try {
        const other = this.#joined(mode);
        if (other?.alive === false) throw new WherryError('conflict', `container ${other.id} is not running`);
        if (other !== undefined && kind === 'IPC' && other.record.host.IpcMode !== 'shareable')
          throw new WherryError(
            'invalid',
            `container ${other.id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)`,
          );
      } catch (error) {
        if (codeOf(error) === 'notFound') throw error;
        const why = `failed to join ${kind} namespace: ${messageOf(error)}`;
        throw new WherryError(codeOf(error) ?? 'internal', why, { cause: error });
      }
  }

  #joined(mode: string): Container | undefined {
    const reference = containerOfMode(mode);
    return reference === undefined ? undefined : this.#context.registry.find(reference);
  }

  async #groups(container: Container): Promise<ReturnType<typeof groupNumbers>> {
    if (!needsGroups(container.record)) return groupNumbers(container.record, undefined);
    using root = await this.#context.engine.openRootfs(container.id);
    return groupNumbers(container.record, root.path);
  }

  /** Gives back network, volumes and namespaces. One part that fails keeps no other from it. */
  async release(container: Container): Promise<void> {
    const { engine, log } = this.#context;
    const parts = await Promise.allSettled([
      this.#connections.close(container),
      closeMounts(this.#context, container.record),
      engine.stopPodSandbox(container.id),
    ]);
    container.pid = 0;
    if (!this.#untold.delete(container)) tellUnmounted(this.#context, container.record);
    for (const part of parts)
      if (part.status === 'rejected')
        log.error('a container did not give everything back', {
          container: container.id,
          error: messageOf(part.reason),
        });
  }
}

/** Refuses what cannot be started, in dockerd's words; false when it runs already. */
export function startable(container: Container): boolean {
  switch (container.phase) {
    case 'paused':
      throw new WherryError('conflict', 'cannot start a paused container, try unpause instead');
    case 'removing':
    case 'dead':
      throw new WherryError('conflict', 'container is marked for removal and cannot be started');
    case 'running':
      return false;
    default:
      return true;
  }
}

/** Whether it has run before. */
export function hasRun(container: Container): boolean {
  return container.record.state.startedAt !== never;
}

/** As dockerd: what the last run ended with stands unless the runtime says why the command cannot run, and after a restart by policy in any case. */
function codeAfterFailure({ phase, record }: Container, failed: number): number {
  const { exitCode } = record.state;
  return phase === 'restarting' || (failed === startUnknown && exitCode !== 0) ? exitCode : failed;
}
