import type { V1PersistentVolumeClaim, V1Pod } from '@wherry/api';

/** The claims in a pod's namespace by `namespace/name`. */
export type ClaimOf = (key: string) => V1PersistentVolumeClaim | undefined;

/**
 * Why a pod's volume claims keep it from every node, in upstream's words (the VolumeBinding plugin
 * before it looks at nodes); `undefined` when they do not. Pure.
 */
export function claimProblem(pod: V1Pod, claimOf: ClaimOf): string | undefined {
  let unbound = false;
  for (const name of claimNames(pod)) {
    const claim = claimOf(`${pod.metadata?.namespace}/${name}`);
    if (claim === undefined) return `persistentvolumeclaim "${name}" not found`;
    if (claim.status?.phase === 'Lost')
      return `persistentvolumeclaim "${name}" bound to non-existent persistentvolume "${claim.spec?.volumeName ?? ''}"`;
    if (claim.metadata?.deletionTimestamp) return `persistentvolumeclaim "${name}" is being deleted`;
    unbound ||= claim.status?.phase !== 'Bound';
  }
  return unbound ? 'pod has unbound immediate PersistentVolumeClaims' : undefined;
}

/** The names of the claims that a pod mounts. */
export function claimNames(pod: V1Pod): string[] {
  return (pod.spec?.volumes ?? []).flatMap(({ persistentVolumeClaim }) =>
    persistentVolumeClaim ? [persistentVolumeClaim.claimName] : [],
  );
}
