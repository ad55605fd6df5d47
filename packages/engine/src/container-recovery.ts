import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { WherryError } from '@wherry/base';
import type { ContainerIndex } from './container-index.ts';
import type { ContainerLauncher } from './container-launcher.ts';
import { type ContainerRoots, lifeHold } from './container-roots.ts';
import type { EngineContext } from './context.ts';
import type { LiveContainer } from './live-container.ts';
import { identityOf, pidIn } from './process-identity.ts';
import { endStartersOf } from './starters.ts';
import type { ContainerRecord } from './state/records.ts';

/** What recovery asks of the containers. */
export interface RecoveringContainers {
  readonly index: ContainerIndex;
  readonly launcher: ContainerLauncher;
  readonly roots: ContainerRoots;
  hold(record: ContainerRecord): LiveContainer;
  discard(record: ContainerRecord): Promise<void>;
  started(record: ContainerRecord): void;
}

/** Exit code of what nobody knows the code of; containerd's. */
export const unknownCode = 255;

/** After a start of the daemon: takes over what runs, undoes what was half done. */
export async function recoverContainers(context: EngineContext, containers: RecoveringContainers): Promise<void> {
  await Promise.all(
    context.containers.all().map((record) =>
      // One container that cannot be mended must not keep the others from being taken over.
      recoverOne(context, containers, record).catch((error: unknown) =>
        context.log.error('a container was not taken over', { container: record.id, error }),
      ),
    ),
  );
}

async function recoverOne(
  context: EngineContext,
  containers: RecoveringContainers,
  record: ContainerRecord,
): Promise<void> {
  const { phase } = record;
  const isAlone = context.sandboxes.get(record.sandboxId) === undefined;
  if (isAlone && context.sandboxes.unreadable !== undefined)
    throw new WherryError('corrupt', `the record of its sandbox cannot be read: see ${context.sandboxes.unreadable}`);
  if (phase === 'creating' || phase === 'removing' || isAlone)
    await containers.discard({ ...record, phase: 'starting' });
  else if (phase === 'starting') await recoverStarting(context, containers, record);
  else if (phase === 'running') {
    removeExecFiles(context.paths.container(record.id));
    containers.roots.adopt(record.id, lifeHold);
    const live = containers.hold(record);
    if (live.monitor === undefined) await live.exited.promise;
  } else if (phase === 'created') await recoverCreated(context, containers, record);
  else await settle(context, containers, record);
}

/** Of commands that the former daemon ran in it; those that go on need them no more. */
function removeExecFiles(bundle: string): void {
  if (!existsSync(bundle)) return;
  for (const name of readdirSync(bundle)) if (name.startsWith('exec-')) rmSync(join(bundle, name), { force: true });
}

/** Whether the process was let go is known by the OCI runtime alone. */
async function recoverStarting(
  context: EngineContext,
  containers: RecoveringContainers,
  record: ContainerRecord,
): Promise<void> {
  const state = await containers.index.runtimeOf(record).state(record.id);
  // `stopped` counts as let go: to start it once too little is mended by a restart, twice by nothing.
  if (state !== undefined && state.status !== 'created' && state.status !== 'creating') {
    const monitorPid = pidIn(join(context.paths.container(record.id), 'monitor.pid'));
    const process = identityOf(state.pid);
    const monitor = monitorPid === undefined ? undefined : identityOf(monitorPid);
    const startedAt = context.clock.now();
    containers.roots.adopt(record.id, lifeHold);
    const running = await context.containers.put({ ...record, phase: 'running', startedAt, process, monitor });
    containers.started(running);
    containers.hold(running);
    return;
  }
  await endStartersOf(record.id);
  await containers.launcher.undo(record);
  if (record.finishedAt !== undefined)
    await settle(context, containers, await context.containers.put({ ...record, phase: 'exited' }));
  else await recoverCreated(context, containers, await context.containers.put({ ...record, phase: 'created' }));
}

/** The root of one that is started once is mounted from its creation on; a reboot took the mount. */
async function recoverCreated(
  context: EngineContext,
  containers: RecoveringContainers,
  record: ContainerRecord,
): Promise<void> {
  if (record.config.restartable === true) return await settle(context, containers, record);
  if (containers.roots.adopt(record.id, lifeHold)) return;
  const message = 'the machine was started anew before the container was';
  const end = { exitCode: unknownCode, finishedAt: context.clock.now(), reason: 'Unknown', message };
  await context.containers.note({ ...record, ...end, phase: 'exited' });
}

/** The clean-up after an end may have been cut off. */
async function settle(
  context: EngineContext,
  { roots, index, launcher }: RecoveringContainers,
  record: ContainerRecord,
): Promise<void> {
  await roots.clear(record.id);
  const left = index.runtimeOf(record).hasState(record.id) || context.cgroups.exists(index.cgroup(record));
  if (left) await launcher.undo(record);
}
