import type { V1OwnerReference } from '@wherry/api';

/** What is known of an owner: there, gone, or waiting for its dependents (foreground deletion). */
export type OwnerState = 'solid' | 'absent' | 'waiting';

/** What to do with an object because of its owners. */
export type Verdict =
  | { readonly action: 'keep' }
  | { readonly action: 'unlink'; readonly uids: readonly string[] }
  | { readonly action: 'delete'; readonly policy: 'Background' | 'Foreground' | 'Orphan' };

/**
 * Upstream's `attemptToDeleteItem`: an object with one solid owner stays and loses references to the
 * others; without any it goes, in the foreground when an owner waits for it and it has dependents.
 */
export function judge(
  owners: readonly { readonly reference: V1OwnerReference; readonly state: OwnerState }[],
  object: { readonly hasDependents: boolean; readonly finalizers: readonly string[] },
): Verdict {
  if (owners.length === 0) return { action: 'keep' };
  const solid = owners.filter(({ state }) => state === 'solid');
  const others = owners.filter(({ state }) => state !== 'solid');
  if (solid.length > 0)
    return others.length === 0
      ? { action: 'keep' }
      : { action: 'unlink', uids: others.map(({ reference }) => reference.uid) };
  if (others.some(({ state }) => state === 'waiting') && object.hasDependents)
    return { action: 'delete', policy: 'Foreground' };
  if (object.finalizers.includes('orphan')) return { action: 'delete', policy: 'Orphan' };
  if (object.finalizers.includes('foregroundDeletion')) return { action: 'delete', policy: 'Foreground' };
  return { action: 'delete', policy: 'Background' };
}
