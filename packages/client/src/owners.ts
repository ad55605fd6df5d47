import type { V1OwnerReference } from '@wherry/api';
import type { KubeObject } from './client.ts';

/** Who owns: the kind is given, because objects from lists do not always carry it. */
export interface OwnerKind {
  readonly apiVersion: string;
  readonly kind: string;
}

/** An owner reference that makes `owner` the managing controller. */
export function controllerReference(owner: KubeObject, { apiVersion, kind }: OwnerKind): V1OwnerReference {
  const { name, uid } = owner.metadata ?? {};
  return { apiVersion, kind, name: name ?? '', uid: uid ?? '', controller: true, blockOwnerDeletion: true };
}

/** The reference of the managing controller, when there is one. */
export function controllerOf(object: KubeObject): V1OwnerReference | undefined {
  return object.metadata?.ownerReferences?.find((reference) => reference.controller === true);
}

/** Whether `owner` is the managing controller of `object`, by uid. */
export function isControlledBy(object: KubeObject, owner: KubeObject): boolean {
  const uid = owner.metadata?.uid;
  return uid !== undefined && controllerOf(object)?.uid === uid;
}

/** Index functions that several components share; index names are per resource, so they must mean the same to all. */
export const sharedIndexes = {
  /** Objects of a namespace. */
  namespace: (object: KubeObject): readonly string[] => [object.metadata?.namespace ?? ''],
  /** Objects by the uid of their managing controller. */
  controller: (object: KubeObject): readonly string[] => {
    const uid = controllerOf(object)?.uid;
    return uid === undefined ? [] : [uid];
  },
  /** Objects of a namespace that no controller manages. */
  orphan: (object: KubeObject): readonly string[] =>
    controllerOf(object) === undefined ? [object.metadata?.namespace ?? ''] : [],
} as const;
