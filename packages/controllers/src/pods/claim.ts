import type { V1LabelSelector } from '@wherry/api';
import { codeOf } from '@wherry/base';
import {
  type ApiClient,
  controllerOf,
  controllerReference,
  type KubeObject,
  matchesSelector,
  type OwnerKind,
  type ResourceId,
} from '@wherry/client';

/** What claiming needs to know of the owner. */
export interface Claimer {
  readonly client: ApiClient;
  readonly owner: KubeObject;
  readonly kind: OwnerKind;
  readonly ownerResource: ResourceId;
  readonly selector: V1LabelSelector | undefined;
  readonly resource: ResourceId;
}

/**
 * The objects that belong to the owner: its own that match the selector, and matching orphans, which
 * are adopted. Its own that do not match any more are released (upstream's ControllerRefManager).
 */
export async function claim<T extends KubeObject>(by: Claimer, candidates: readonly T[]): Promise<T[]> {
  const { owner, selector } = by;
  const uid = owner.metadata?.uid;
  const claimed: T[] = [];
  let mayAdopt: Promise<boolean> | undefined;
  for (const object of candidates) {
    const controller = controllerOf(object);
    const matches = matchesSelector(object.metadata?.labels ?? {}, selector);
    if (controller !== undefined) {
      if (controller.uid !== uid) continue;
      if (matches) claimed.push(object);
      else if (!owner.metadata?.deletionTimestamp) await release(by, object);
      continue;
    }
    if (!matches || owner.metadata?.deletionTimestamp || object.metadata?.deletionTimestamp) continue;
    // The owner in the local copy may be gone or being deleted by now: ask before taking anything.
    mayAdopt ??= stillThere(by);
    if (!(await mayAdopt)) continue;
    const adopted = await adopt(by, object);
    if (adopted) claimed.push(adopted);
  }
  return claimed;
}

async function stillThere({ client, owner, ownerResource }: Claimer): Promise<boolean> {
  const { namespace, name, uid } = owner.metadata ?? {};
  try {
    const fresh = await client.get(ownerResource, { namespace, name: name! });
    return fresh.metadata?.uid === uid && fresh.metadata?.deletionTimestamp === undefined;
  } catch (error) {
    if (codeOf(error) === 'notFound') return false;
    throw error;
  }
}

async function adopt<T extends KubeObject>(
  { client, owner, kind, resource }: Claimer,
  object: T,
): Promise<T | undefined> {
  const { namespace, name, uid, resourceVersion, ownerReferences = [] } = object.metadata ?? {};
  const metadata = { uid, resourceVersion, ownerReferences: [...ownerReferences, controllerReference(owner, kind)] };
  try {
    return await client.patch<T>(resource, { namespace, name: name! }, 'merge', { metadata });
  } catch (error) {
    if (codeOf(error) === 'notFound') return undefined;
    throw error;
  }
}

async function release({ client, owner, resource }: Claimer, object: KubeObject): Promise<void> {
  const { namespace, name, uid, resourceVersion, ownerReferences = [] } = object.metadata ?? {};
  const left = ownerReferences.filter((reference) => reference.uid !== owner.metadata?.uid);
  const metadata = { uid, resourceVersion, ownerReferences: left };
  try {
    await client.patch(resource, { namespace, name: name! }, 'merge', { metadata });
  } catch (error) {
    if (codeOf(error) !== 'notFound') throw error;
  }
}
