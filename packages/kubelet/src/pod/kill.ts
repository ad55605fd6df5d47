import type { V1Pod } from '@wherry/api';
import { messageOf, sleep } from '@wherry/base';
import type { ContainerStatus } from '@wherry/runtime';
import type { RecordEvent } from '../images/image-puller.ts';
import { hookFailure, runHook } from './hooks.ts';
import type { NodeContext } from './node-context.ts';
import { isSidecar } from './resources.ts';

export interface KillOptions {
  /** Seconds for hook and signal together. */
  readonly grace: number;
  /** The event's words; default `Stopping container <name>`. */
  readonly message: string | undefined;
  /** Address for hooks. */
  readonly host: string;
  readonly record: (container: string) => RecordEvent;
}

/**
 * Stops containers: the main ones together, then the sidecars in reverse order of their start, all
 * within one grace period (KEP-753). A preStop hook runs first and shares the time.
 */
export async function killContainers(
  node: NodeContext,
  pod: V1Pod,
  containers: readonly ContainerStatus[],
  options: KillOptions,
): Promise<void> {
  const end = node.clock.now() + options.grace * 1000;
  const sidecars = (pod.spec?.initContainers ?? []).filter(isSidecar).map(({ name }) => name);
  const running = containers.filter(({ state }) => state === 'running');
  const mains = running.filter(({ metadata }) => !sidecars.includes(metadata.name));
  await Promise.all(mains.map((run) => kill(node, pod, run, end, options)));
  for (const name of sidecars.reverse())
    for (const run of running) if (run.metadata.name === name) await kill(node, pod, run, end, options);
}

async function kill(
  node: NodeContext,
  pod: V1Pod,
  run: ContainerStatus,
  end: number,
  options: KillOptions,
): Promise<void> {
  const { name } = run.metadata;
  const record = options.record(name);
  record('Normal', 'Killing', options.message ?? `Stopping container ${name}`);
  const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  const container = containers.find((one) => one.name === name);
  const handler = container?.lifecycle?.preStop;
  if (container && handler && options.grace > 0) {
    const hook = runHook(handler, { container, containerId: run.id, host: options.host }, node).catch(
      (error: unknown) => {
        record('Warning', 'FailedPreStopHook', 'PreStopHook failed');
        node.log.warn('a preStop hook failed', { error: hookFailure('PreStopHook', container, error) });
      },
    );
    const late = new AbortController();
    const limit = sleep(node.clock, Math.max(end - node.clock.now(), 0), { signal: late.signal }).catch(
      () => undefined,
    );
    await Promise.race([hook, limit]);
    late.abort();
  }
  const left = Math.max(Math.ceil((end - node.clock.now()) / 1000), 0);
  // Upstream's minimum after a hook that used the time up.
  const seconds = options.grace === 0 ? 0 : Math.max(left, handler ? 2 : left);
  try {
    await node.runtime.stopContainer(run.id, seconds);
  } catch (error) {
    node.log.warn('cannot stop a container', { container: name, error: messageOf(error) });
    throw error;
  }
}
