import type { V1Node, V1Pod } from '@wherry/api';
import { keyOf } from '@wherry/client';
import { factsOf, NodeState } from './node-state.ts';

/** Whether a pod has ended and holds nothing on its node any more. */
export function isFinished(pod: V1Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

/**
 * The nodes with what is on them, kept up by informer events. A pod that was given a node counts
 * there at once (assumed), before the API server has said so.
 */
export class ClusterState {
  readonly #nodes = new Map<string, NodeState>();
  readonly #places = new Map<string, NodeState>();
  readonly #assumed = new Set<string>();

  get nodes(): readonly NodeState[] {
    return [...this.#nodes.values()];
  }

  putNode(node: V1Node): void {
    this.#state(node.metadata?.name ?? '').node = node;
  }

  removeNode(name: string): void {
    const state = this.#nodes.get(name);
    if (state === undefined) return;
    state.node = undefined;
    if (state.pods.size === 0) this.#nodes.delete(name);
  }

  /** Takes a pod over as the API server shows it. */
  putPod(pod: V1Pod): void {
    const key = keyOf(pod);
    if (!pod.spec?.nodeName) {
      // An update that was on its way before the binding: the assumption still holds.
      if (!this.#assumed.has(key)) this.removePod(key);
      return;
    }
    this.removePod(key);
    if (!isFinished(pod)) this.#place(key, pod, pod.spec.nodeName);
  }

  /** Counts a pod on a node until the API server shows it there, or `removePod` takes the assumption back. */
  assume(pod: V1Pod, node: string): void {
    const key = keyOf(pod);
    this.#place(key, pod, node);
    this.#assumed.add(key);
  }

  isAssumed(key: string): boolean {
    return this.#assumed.has(key);
  }

  removePod(key: string): void {
    this.#assumed.delete(key);
    const state = this.#places.get(key);
    if (state === undefined) return;
    this.#places.delete(key);
    state.remove(key);
    if (state.node === undefined && state.pods.size === 0) this.#nodes.delete(state.name);
  }

  #place(key: string, pod: V1Pod, node: string): void {
    const state = this.#state(node);
    state.add(factsOf(pod));
    this.#places.set(key, state);
  }

  #state(name: string): NodeState {
    let state = this.#nodes.get(name);
    if (state === undefined) {
      state = new NodeState(name);
      this.#nodes.set(name, state);
    }
    return state;
  }
}
