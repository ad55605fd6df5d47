import { rm } from 'node:fs/promises';
import type { V1Pod } from '@wherry/api';
import { codeOf, messageOf } from '@wherry/base';
import { resources } from '@wherry/client';
import { podLogDirectory } from './container-starter.ts';
import type { ContainerTasks } from './container-tasks.ts';
import { killContainers } from './kill.ts';
import { type ObservedPod, podLabels } from './labels.ts';
import type { PodObserver } from './pod-observer.ts';
import type { PodScope } from './pod-scope.ts';

/** Seconds for the containers of a pod to end: what its deletion says, its own, or little when the object is gone. */
function askedGrace(pod: V1Pod, apiGone: boolean): number {
  const { deletionTimestamp, deletionGracePeriodSeconds } = pod.metadata ?? {};
  if (deletionTimestamp !== undefined && deletionGracePeriodSeconds !== undefined) return deletionGracePeriodSeconds;
  const own = pod.spec?.terminationGracePeriodSeconds ?? 30;
  return apiGone ? Math.min(own, 2) : own;
}

/** Stops everything of a pod and removes what is left of it. */
export class PodTermination {
  readonly #scope: PodScope;
  readonly #observer: PodObserver;
  readonly #tasks: ContainerTasks;
  /** The grace (seconds) that the containers were given; set while they are being stopped. */
  #grace: number | undefined;

  constructor(scope: PodScope, observer: PodObserver, tasks: ContainerTasks) {
    this.#scope = scope;
    this.#observer = observer;
    this.#tasks = tasks;
  }

  /** Ends all containers, then calls `report`, then gives the network and the volumes back. Nothing may start any more. */
  async run(apiGone: boolean, report: (observed: ObservedPod) => Promise<void>): Promise<void> {
    const { uid, node, pod, events } = this.#scope;
    const { runtime, volumes, watches } = node;
    this.#grace = askedGrace(pod(), apiGone);
    try {
      const observed = await this.#observer.observe();
      const host = observed.sandboxes[0]?.ips[0] ?? node.nodeIps[0] ?? '';
      const record = (container: string) => events.ofContainer(container);
      const options = { grace: this.#grace, message: undefined, host, record };
      await killContainers(node, pod(), observed.containers, options);
      await this.#tasks.settled();
      // What a task had just started when it was told to stop.
      for (const run of (await this.#observer.observe()).containers)
        if (run.state === 'running') await runtime.stopContainer(run.id, 0);
      await report(await this.#observer.observe());
      for (const { id } of observed.sandboxes) await runtime.stopPodSandbox(id);
      watches.track(uid, '', []);
      await volumes.remove(uid);
    } finally {
      this.#grace = undefined;
    }
  }

  /** The pod was deleted, or deleted anew with less grace, while its containers are being stopped. */
  shortenGrace(apiGone: boolean): void {
    const { uid, node, pod, log } = this.#scope;
    const asked = askedGrace(pod(), apiGone);
    if (this.#grace === undefined || asked >= this.#grace) return;
    this.#grace = asked;
    void (async () => {
      for (const run of await node.runtime.listContainers({ labels: { [podLabels.uid]: uid } }))
        if (run.state === 'running') await node.runtime.stopContainer(run.id, asked);
    })().catch((error: unknown) => log.warn('cannot stop a container sooner', { error: messageOf(error) }));
  }

  /** Removes containers, volumes and logs of an ended pod. */
  async removeRemains(): Promise<void> {
    const { uid, node, pod } = this.#scope;
    for (const { id } of (await this.#observer.observe()).sandboxes) {
      await node.runtime.stopPodSandbox(id);
      await node.runtime.removePodSandbox(id);
    }
    await node.volumes.remove(uid);
    await rm(podLogDirectory(node.logDirectory, pod()), { recursive: true, force: true });
  }

  /** Tells the API that nothing of the pod is left. False: finalizers may keep the object, its deletion event comes later. */
  async deleteObject(): Promise<boolean> {
    const { uid, node, pod } = this.#scope;
    const { name = '', namespace } = pod().metadata ?? {};
    try {
      const options = { gracePeriodSeconds: 0, preconditions: { uid } };
      await node.client.delete(resources.pods, { namespace, name }, options);
      return false;
    } catch (error) {
      if (codeOf(error) !== 'notFound' && codeOf(error) !== 'conflict') throw error;
      return true;
    }
  }
}
