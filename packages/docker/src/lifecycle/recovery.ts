import { codeOf, messageOf, sleep, unreadableAdvice } from '@wherry/base';
import type { ContainerStatus } from '@wherry/runtime';
import { containerOfMode } from '../config/modes.ts';
import { Container } from '../containers/container.ts';
import { type DockerContext, saveSoon } from '../containers/context.ts';
import { dockerLabel } from '../mapping/sandbox-config.ts';
import { formatNano, millisecondsOf } from '../times.ts';
import type { Connections } from './connections.ts';
import type { HealthMonitors } from './health.ts';
import type { Remover } from './remover.ts';
import { restarts } from './restart-decision.ts';
import { hasRun, type Starter } from './starter.ts';
import type { Supervisor } from './supervisor.ts';

export interface RecoveryParts {
  readonly connections: Connections;
  readonly health: HealthMonitors;
  readonly remover: Remover;
  readonly starter: Starter;
  readonly supervisor: Supervisor;
}

/**
 * Takes over what a former daemon left, however it ended: what the engine says runs, runs; ends that nobody saw are
 * settled now, with what restart policies and `--rm` say; half-made and half-removed containers go.
 */
export async function recoverContainers(context: DockerContext, parts: RecoveryParts): Promise<void> {
  const { engine, log, networks, registry, store } = context;
  for (const record of store.all()) registry.add(new Container(record));
  const labels = { [dockerLabel]: 'true' };
  const found = new Map((await engine.listContainers({ labels })).map((status) => [status.id, status]));
  const running = [...found.values()].filter(({ state }) => state === 'running').map(({ id }) => id);
  await networks.reconcile(new Set(running));
  const sandboxes = await engine.listPodSandboxes({ labels });
  const ready = new Set(sandboxes.filter(({ state }) => state === 'ready').map(({ id }) => id));
  await Promise.all(
    registry.all().map(async (container) => {
      try {
        await recoverOne(context, parts, container, found.get(container.id));
        // A start was cut off between its namespaces and its process.
        if (!container.alive && ready.has(container.id)) await parts.starter.release(container);
      } catch (error) {
        log.error('a container was not taken over', { container: container.id, error: messageOf(error) });
      }
    }),
  );
  if (store.unreadable === undefined) {
    await removeStrays(context);
    await dropHolds(context);
  } else {
    log.warn('kept what belongs to containers whose records cannot be read', {
      unreadable: store.unreadable,
      todo: unreadableAdvice,
    });
  }
}

async function recoverOne(
  context: DockerContext,
  parts: RecoveryParts,
  container: Container,
  status: ContainerStatus | undefined,
): Promise<void> {
  const { host, config, removesVolumes = host.AutoRemove } = container.record;
  const removing = container.phase === 'removing' || container.phase === 'dead';
  const isLost = status === undefined && context.engine.unreadableRecords !== undefined;
  // A power cut in its creation may leave the record alone.
  const unmade = status === undefined && !isLost && !hasRun(container);
  if (config.Healthcheck?.Test !== undefined) container.health = await context.store.health(container.id);
  // One that removes itself is removed without its record's saying so.
  if (removing || unmade || (status === undefined && !isLost && host.AutoRemove)) {
    if (container.phase !== 'removing') container.enter('removing');
    await container.lock.run(() => parts.remover.remove(container, { volumes: unmade || removesVolumes }));
  } else if (status === undefined) markDead(context, container);
  else if (status.state === 'running') await takeOver(context, parts, container, status);
  else await settleEnd(parts, container, status);
}

/**
 * Somebody took the engine's files away, or its record cannot be read. What is left (name, volumes, log, what it has
 * written) goes when its user says so.
 */
function markDead({ engine, log }: DockerContext, container: Container): void {
  const { unreadableRecords: file } = engine;
  const error =
    file === undefined
      ? 'the files of the container are lost'
      : `the record of the container cannot be read: see ${file}, and the daemon's log`;
  container.enter('removing');
  container.enter('dead', { error });
  log.error('a container is dead', { container: container.id, error });
}

async function takeOver(
  context: DockerContext,
  { connections, health }: RecoveryParts,
  container: Container,
  status: ContainerStatus,
): Promise<void> {
  const { engine } = context;
  const { id, record } = container;
  const paused = await engine.isPaused(id);
  const startedAt = startOf(container, status);
  // The former daemon was killed before it wrote down that a run had begun: nothing that it found is of this one.
  const known = startedAt === record.state.startedAt;
  container.change({ state: { ...record.state, phase: 'running', startedAt, exitCode: 0, error: '' } });
  if (paused) container.enter('paused');
  container.pid = status.pid ?? 0;
  saveSoon(context, container);
  const sandbox = await engine.podSandboxStatus(id);
  await connections.serveNames(container, sandbox.networkNamespace);
  if (!known) container.health = undefined;
  if (!paused) health.start(container, { resume: true });
}

async function settleEnd(
  { remover, supervisor }: RecoveryParts,
  container: Container,
  status: ContainerStatus,
): Promise<void> {
  // It ran when the record was written, or was let go without the record's knowing.
  if (container.alive || ranSince(container, status)) {
    if (!container.alive) container.enter('running', { startedAt: startOf(container, status) });
    await supervisor.settle(container);
  } else if (container.phase === 'restarting') supervisor.resumeRestart(container);
  else if (container.record.host.AutoRemove) await container.lock.run(() => remover.removeEnded(container));
}

function ranSince(container: Container, status: ContainerStatus): boolean {
  if (status.state !== 'exited' || status.startedAt === undefined) return false;
  return (
    status.startedAt > Math.max(millisecondsOf(container.record.state.finishedAt), 0) && status.reason !== 'StartError'
  );
}

/** The record's time, which has ns, when it is of the run that the engine speaks of. */
function startOf({ record }: Container, { startedAt }: ContainerStatus): string {
  const known = millisecondsOf(record.state.startedAt);
  if (startedAt === undefined || Math.abs(known - startedAt) < 5000) return record.state.startedAt;
  return formatNano(BigInt(startedAt) * 1_000_000n);
}

/** Sandboxes without a record: creations that were cut off, and removals. */
async function removeStrays({ engine, registry, log }: DockerContext): Promise<void> {
  for (const { id } of await engine.listPodSandboxes({ labels: { [dockerLabel]: 'true' } })) {
    if (registry.get(id) !== undefined) continue;
    await engine.removePodSandbox(id).catch((error: unknown) => {
      if (codeOf(error) !== 'notFound')
        log.error('a stray container stays', { container: id, error: messageOf(error) });
    });
  }
}

/** Holds on volumes of containers that are not there: an unnamed volume that only such a one held goes with it. */
async function dropHolds({ volumes, registry, log }: DockerContext): Promise<void> {
  const known = new Set(registry.all().map(({ id }) => id));
  const orphans = volumes.list().filter(({ name, anonymous }) => {
    const users = volumes.users(name);
    return anonymous && users.length > 0 && users.every((user) => !known.has(user));
  });
  await volumes.reconcile(known);
  for (const { name } of orphans)
    await volumes
      .remove(name)
      .catch((error: unknown) => log.warn('an anonymous volume stays', { volume: name, error: messageOf(error) }));
}

/** So long at most the daemon waits for what policies start before it serves; the rest comes later. ms */
const startPatience = 15_000;

/**
 * What does not run when the daemon starts is started where its policy says so, as by dockerd (26.1): `always` also
 * what a user had stopped; `on-failure` after a failure, with retries left. Containers come after those whose
 * namespaces or addresses they need. Resolves when each runs or could not be started, or when it takes too long.
 */
export async function startByPolicy(context: DockerContext, parts: RecoveryParts, signal: AbortSignal): Promise<void> {
  const patience = new AbortController();
  const late = sleep(context.clock, startPatience, { signal: patience.signal }).catch(() => undefined);
  await Promise.race([startWanted(context, parts, signal), late]);
  patience.abort();
}

async function startWanted(context: DockerContext, parts: RecoveryParts, signal: AbortSignal): Promise<void> {
  const left = new Set(context.registry.all().filter(isWanted));
  while (left.size > 0 && !signal.aborted) {
    const free = [...left].filter((container) => neededBy(context, container).every((other) => !left.has(other)));
    // Those that need each other are left to fail by themselves.
    const next = free.length > 0 ? free : [...left];
    for (const container of next) left.delete(container);
    await Promise.all(next.map((container) => startOne(context, parts, container)));
  }
}

function isWanted(container: Container): boolean {
  const { host, manuallyStopped, restartCount, state } = container.record;
  const end = { exitCode: state.exitCode, stopping: false, manuallyStopped, restartCount };
  return state.phase === 'exited' && hasRun(container) && restarts(host.RestartPolicy, end);
}

/** The containers whose namespaces it joins, and those it is linked to. */
function neededBy({ registry }: DockerContext, { record: { host } }: Container): Container[] {
  const modes = [host.NetworkMode, host.IpcMode, host.PidMode].map(containerOfMode);
  const links = (host.Links ?? []).map((link) => link.split(':', 1)[0]);
  return [...modes, ...links].flatMap((reference) => {
    try {
      return reference === undefined ? [] : [registry.find(reference)];
    } catch {
      return []; // Its start says so.
    }
  });
}

async function startOne(
  context: DockerContext,
  { starter, health, supervisor }: RecoveryParts,
  container: Container,
): Promise<void> {
  try {
    await container.lock.run(async () => {
      if (container.phase !== 'exited') return;
      container.change({ manuallyStopped: false, restartCount: 0 });
      await starter.start(container);
      health.start(container);
    });
    // It may have ended before it was known to run.
    supervisor.settleSoon(container);
  } catch (error) {
    context.log.warn('a container was not started again', { container: container.id, error: messageOf(error) });
  }
}
