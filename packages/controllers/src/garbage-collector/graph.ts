import type { V1OwnerReference } from '@wherry/api';
import { type KubeObject, keyOf } from '@wherry/client';
import type { KindResource } from '../kinds.ts';

/** One object as the collector sees it. */
export interface GraphNode {
  readonly uid: string;
  readonly kind: KindResource;
  readonly key: string;
  readonly owners: readonly V1OwnerReference[];
  /** Being deleted in the foreground: waits for its dependents. */
  readonly foreground: boolean;
  /** Being deleted and to leave its dependents alone. */
  readonly orphaning: boolean;
  readonly deleting: boolean;
}

/** Who owns whom, by uid. Holds only what the collector asks for. */
export class OwnerGraph {
  readonly #nodes = new Map<string, GraphNode>();
  readonly #dependents = new Map<string, Set<string>>();

  get(uid: string): GraphNode | undefined {
    return this.#nodes.get(uid);
  }

  /** The objects that name `uid` as an owner, whether the owner is known or not. */
  dependentsOf(uid: string): readonly GraphNode[] {
    return [...(this.#dependents.get(uid) ?? [])].flatMap((one) => this.#nodes.get(one) ?? []);
  }

  put(kind: KindResource, object: KubeObject): GraphNode {
    const { uid = '', ownerReferences = [], finalizers = [], deletionTimestamp } = object.metadata ?? {};
    this.remove(uid);
    const deleting = deletionTimestamp !== undefined;
    const node: GraphNode = {
      uid,
      kind,
      key: keyOf(object),
      owners: ownerReferences,
      foreground: deleting && finalizers.includes('foregroundDeletion'),
      orphaning: deleting && finalizers.includes('orphan'),
      deleting,
    };
    this.#nodes.set(uid, node);
    for (const owner of ownerReferences) {
      const dependents = this.#dependents.get(owner.uid);
      if (dependents) dependents.add(uid);
      else this.#dependents.set(owner.uid, new Set([uid]));
    }
    return node;
  }

  remove(uid: string): void {
    const node = this.#nodes.get(uid);
    if (node === undefined) return;
    this.#nodes.delete(uid);
    for (const owner of node.owners) {
      const dependents = this.#dependents.get(owner.uid);
      dependents?.delete(uid);
      if (dependents?.size === 0) this.#dependents.delete(owner.uid);
    }
  }
}
