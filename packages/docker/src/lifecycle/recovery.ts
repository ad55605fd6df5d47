import { codeOf, messageOf } from '@wherry/base';
import type { ContainerStatus } from '@wherry/runtime';
import { Container } from '../containers/container.ts';
import { type DockerContext, saveSoon } from '../containers/context.ts';
import { dockerLabel } from '../mapping/sandbox-config.ts';
import { formatNano, millisecondsOf } from '../times.ts';
import type { Connections } from './connections.ts';
import type { HealthMonitors } from './health.ts';
import type { Remover } from './remover.ts';
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
  const { engine, log, networks, registry, store, volumes } = context;
  for (const record of await store.load()) registry.add(new Container(record));
  const found = new Map(
    (await engine.listContainers({ labels: { [dockerLabel]: 'true' } })).map((status) => [status.id, status]),
  );
  const running = [...found.values()].filter(({ state }) => state === 'running').map(({ id }) => id);
  await networks.reconcile(new Set(running));
  await Promise.all(
    registry
      .all()
      .map((container) =>
        recoverOne(context, parts, container, found.get(container.id)).catch((error: unknown) =>
          log.error('a container was not taken over', { container: container.id, error: messageOf(error) }),
        ),
      ),
  );
  await removeStrays(context);
  await volumes.reconcile(new Set(registry.all().map(({ id }) => id)));
}

async function recoverOne(
  context: DockerContext,
  { connections, health, remover, supervisor }: RecoveryParts,
  container: Container,
  status: ContainerStatus | undefined,
): Promise<void> {
  if (status === undefined || container.phase === 'removing' || container.phase === 'dead') {
    if (container.phase !== 'removing') container.enter('removing');
    await container.lock.run(() => remover.remove(container, { volumes: true }));
    return;
  }
  if (status.state === 'running') {
    await takeOver(context, container, status);
    const sandbox = await context.engine.podSandboxStatus(container.id);
    await connections.serveNames(container, sandbox.networkNamespace);
    health.start(container, { resume: false });
    return;
  }
  // It ran when the record was written, or was let go without the record's knowing.
  const unseen = container.alive || (container.phase !== 'restarting' && ranSince(container, status));
  if (unseen || container.phase === 'restarting') {
    if (!container.alive) container.enter('running', { startedAt: startOf(container, status) });
    await supervisor.settle(container);
  } else if (container.record.host.AutoRemove && hasRun(container))
    await container.lock.run(() => remover.removeEnded(container));
}

function ranSince(container: Container, status: ContainerStatus): boolean {
  if (status.state !== 'exited' || status.startedAt === undefined) return false;
  return (
    status.startedAt > Math.max(millisecondsOf(container.record.state.finishedAt), 0) && status.reason !== 'StartError'
  );
}

async function takeOver(context: DockerContext, container: Container, status: ContainerStatus): Promise<void> {
  const paused = await context.engine.isPaused(container.id);
  const startedAt = startOf(container, status);
  container.change({ state: { ...container.record.state, phase: 'running', startedAt, exitCode: 0, error: '' } });
  if (paused) container.enter('paused');
  container.pid = status.pid ?? 0;
  saveSoon(context, container);
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

/** After a restart of the daemon policies start what they want to run, as after one of dockerd. */
export async function startByPolicy(
  context: DockerContext,
  { starter, health, supervisor }: RecoveryParts,
): Promise<void> {
  for (const container of context.registry.all()) {
    const { host, manuallyStopped, state } = container.record;
    const wanted =
      host.RestartPolicy.Name === 'always' || (host.RestartPolicy.Name === 'unless-stopped' && !manuallyStopped);
    if (!wanted || state.phase !== 'exited' || !hasRun(container)) continue;
    try {
      await container.lock.run(async () => {
        if (container.phase !== 'exited') return;
        await starter.start(container);
        health.start(container);
      });
      supervisor.settleSoon(container);
    } catch (error) {
      context.log.warn('a container was not started again', { container: container.id, error: messageOf(error) });
    }
  }
}
