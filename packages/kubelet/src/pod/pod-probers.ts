import type { V1Container } from '@wherry/api';
import { Prober } from '../probes/prober.ts';
import { type ObservedPod, runsOf } from './labels.ts';
import type { ContainerHealth } from './plan.ts';
import type { PodScope } from './pod-scope.ts';
import { containersOf } from './resources.ts';

/** The probers of a pod's running containers, by container id. */
export class PodProbers {
  readonly #scope: PodScope;
  readonly #probers = new Map<string, Prober>();

  constructor(scope: PodScope) {
    this.#scope = scope;
  }

  health(): Map<string, ContainerHealth> {
    return new Map([...this.#probers].map(([id, prober]) => [id, prober.health]));
  }

  /** Probes a running container; `initial` is what its status says already (after a restart of this process). */
  start(
    container: V1Container,
    id: string,
    host: string | undefined,
    initial: { started: boolean; ready: boolean } | undefined,
  ): void {
    const { node, events, stop, wake } = this.#scope;
    if (stop.aborted || this.#probers.has(id)) return;
    const record = events.ofContainer(container.name);
    const prober = new Prober({
      target: { container, containerId: id, host: host ?? '127.0.0.1' },
      runtime: node.runtime,
      clock: node.clock,
      initial,
      onChange: wake,
      onEvent: (reason, message) => record('Warning', reason, message),
    });
    this.#probers.set(id, prober);
  }

  /** Takes over what runs already (after a restart of this process); not what somebody is starting. */
  adopt(observed: ObservedPod, isBusy: (container: string) => boolean): void {
    const { node, pod } = this.#scope;
    const { spec, status } = pod();
    const ip = observed.sandboxes[0]?.ips[0] ?? (spec?.hostNetwork ? node.nodeIps[0] : undefined);
    for (const container of containersOf(pod())) {
      const run = runsOf(observed, container.name)[0];
      if (run?.state !== 'running' || isBusy(container.name) || this.#probers.has(run.id)) continue;
      const all = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])];
      const known = all.find(({ containerID }) => containerID?.endsWith(`//${run.id}`));
      this.start(container, run.id, ip, known && { started: known.started === true, ready: known.ready });
    }
  }

  /** Ends the probers of containers that run no more. */
  retain(isRunning: (id: string) => boolean): void {
    for (const [id, prober] of this.#probers) {
      if (isRunning(id)) continue;
      prober[Symbol.dispose]();
      this.#probers.delete(id);
    }
  }

  /** Stops probing; the verdicts stay for the last status until `clear`. */
  halt(): void {
    for (const prober of this.#probers.values()) prober[Symbol.dispose]();
  }

  clear(): void {
    this.halt();
    this.#probers.clear();
  }
}
