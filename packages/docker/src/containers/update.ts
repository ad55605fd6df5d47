import { messageOf, WherryError } from '@wherry/base';
import { BodyReader } from '../config/body-reader.ts';
import { decodeResources, decodeRestartPolicy } from '../config/decode.ts';
import { checkResources } from '../config/resources.ts';
import { checkRestartPolicy, isRestarting } from '../config/restart-policy.ts';
import type { HostConfig, Resources } from '../config/types.ts';
import { refusalOfShares } from '../lifecycle/start-checks.ts';
import { resourcesOf } from '../mapping/engine-config.ts';
import type { Container } from './container.ts';
import type { JsonObject } from './containers.ts';
import { type DockerContext, save, tell } from './context.ts';

export interface ContainerUpdate {
  readonly resources: Resources;
  readonly restartPolicy: HostConfig['RestartPolicy'];
  readonly warnings: string[];
}

/** Reads and checks the body of `POST /containers/{id}/update`, before the container is looked for, as dockerd does. */
export function decodeUpdate(context: DockerContext, body: JsonObject): ContainerUpdate {
  const reader = new BodyReader(body, 'UpdateConfig');
  const resources = decodeResources(reader.embedded('Resources'));
  if (resources.PidsLimit !== null && resources.PidsLimit < 0) resources.PidsLimit = 0;
  const restartPolicy = decodeRestartPolicy(reader);
  checkRestartPolicy(restartPolicy);
  const warnings = checkResources(resources, context.host, true);
  return { resources, restartPolicy, warnings };
}

/** Changes limits and the restart policy, of one that runs at once. Zeros leave things as they are. */
export async function updateContainer(
  context: DockerContext,
  container: Container,
  { resources, restartPolicy, warnings }: ContainerUpdate,
): Promise<{ readonly Warnings: readonly string[] | null }> {
  await container.lock.run(async () => {
    if (container.phase === 'removing' || container.phase === 'dead')
      throw cannot(container, 'container is marked for removal and cannot be "update"', 'internal');
    const { host } = container.record;
    if (host.AutoRemove && isRestarting(restartPolicy))
      throw cannot(container, 'Restart policy cannot be updated because AutoRemove is enabled for the container');
    const next = merged(container, host, resources);
    if (restartPolicy.Name !== '') next.RestartPolicy = restartPolicy;
    const refusal = context.host.cgroupVersion === 1 ? refusalOfShares(next.CpuShares) : undefined;
    if (container.alive && refusal !== undefined) throw refusedByRuntime(container, refusal);
    if (container.alive) await applyLimits(context, container, next);
    container.change({ host: next });
    await save(context, container, true);
    if (restartPolicy.Name !== '') container.restartDelay = 0;
  });
  tell(context, container, 'update');
  return { Warnings: warnings.length === 0 ? null : warnings };
}

async function applyLimits(context: DockerContext, container: Container, host: HostConfig): Promise<void> {
  // Those of real time are for the next start, as dockerd has it.
  const limits = resourcesOf({ ...host, CpuRealtimePeriod: 0, CpuRealtimeRuntime: 0 });
  try {
    await context.engine.updateContainerResources(container.id, limits);
  } catch (error) {
    const words = messageOf(error);
    throw words.startsWith('failed to write ') ? refusedByRuntime(container, words) : error;
  }
}

function refusedByRuntime(container: Container, words: string): WherryError {
  return cannot(container, `runc did not terminate successfully: exit status 1: ${words}\n: unknown`, 'internal');
}

function merged(container: Container, old: HostConfig, wanted: Resources): HostConfig {
  const next = { ...old };
  const refuse = (text: string): never => {
    throw cannot(container, text);
  };
  for (const [name, words] of [
    ['CpuPeriod', 'CPU Period'],
    ['CpuQuota', 'CPU Quota'],
  ] as const) {
    if (wanted.NanoCpus > 0 && old[name] > 0)
      refuse(`Conflicting options: Nano CPUs cannot be updated as ${words} has already been set`);
    if (wanted[name] > 0 && old.NanoCpus > 0)
      refuse(`Conflicting options: ${words} cannot be updated as NanoCPUs has already been set`);
  }
  // Also where there is no limit of memory with swap yet: so dockerd has it.
  if (wanted.Memory !== 0 && wanted.Memory > old.MemorySwap && wanted.MemorySwap === 0)
    refuse('Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time');
  for (const name of [
    'BlkioWeight',
    'CpuShares',
    'NanoCpus',
    'CpuPeriod',
    'CpuQuota',
    'Memory',
    'MemorySwap',
    'MemoryReservation',
    'CpuRealtimePeriod',
    'CpuRealtimeRuntime',
  ] as const)
    if (wanted[name] !== 0) next[name] = wanted[name];
  if (wanted.CpusetCpus !== '') next.CpusetCpus = wanted.CpusetCpus;
  if (wanted.CpusetMems !== '') next.CpusetMems = wanted.CpusetMems;
  if (wanted.PidsLimit !== null) next.PidsLimit = wanted.PidsLimit;
  return next;
}

function cannot({ id }: Container, text: string, code: 'conflict' | 'internal' = 'conflict'): WherryError {
  return new WherryError(code, `Cannot update container ${id}: ${text}`);
}
