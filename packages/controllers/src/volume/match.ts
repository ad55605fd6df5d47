import { compareQuantity, type V1PersistentVolume, type V1PersistentVolumeClaim } from '@wherry/api';
import { matchesSelector } from '@wherry/client';

const betaClass = 'volume.beta.kubernetes.io/storage-class';

/** The storage class that a claim or a volume names; '' for none. */
export function classOf({ metadata, spec }: V1PersistentVolume | V1PersistentVolumeClaim): string {
  return metadata?.annotations?.[betaClass] ?? spec?.storageClassName ?? '';
}

/** Whether a volume is reserved for the claim, by name and (where it says one) by uid. */
export function isFor(volume: V1PersistentVolume, { metadata }: V1PersistentVolumeClaim): boolean {
  const reference = volume.spec?.claimRef;
  if (reference?.name !== metadata?.name || reference?.namespace !== metadata?.namespace) return false;
  return !reference?.uid || reference.uid === metadata?.uid;
}

/** Whether a volume gives what a claim asks for, whoever it is reserved for. */
export function satisfies(volume: V1PersistentVolume, claim: V1PersistentVolumeClaim): boolean {
  const asked = claim.spec?.resources?.requests?.storage ?? '0';
  const modes = volume.spec?.accessModes ?? [];
  return (
    compareQuantity(volume.spec?.capacity?.storage ?? '0', asked) >= 0 &&
    (claim.spec?.accessModes ?? []).every((mode) => modes.includes(mode)) &&
    (claim.spec?.volumeMode ?? 'Filesystem') === (volume.spec?.volumeMode ?? 'Filesystem') &&
    classOf(claim) === classOf(volume) &&
    (claim.spec?.volumeAttributesClassName ?? '') === (volume.spec?.volumeAttributesClassName ?? '')
  );
}

/** The volume for a claim: one reserved for it, else the smallest free one that satisfies it; ties by name. Pure. */
export function volumeFor(
  claim: V1PersistentVolumeClaim,
  volumes: readonly V1PersistentVolume[],
): V1PersistentVolume | undefined {
  const usable = volumes.filter((volume) => !volume.metadata?.deletionTimestamp && satisfies(volume, claim));
  const reserved = usable.find((volume) => volume.spec?.claimRef && isFor(volume, claim));
  if (reserved) return reserved;
  const { selector } = claim.spec ?? {};
  return usable
    .filter((volume) => !volume.spec?.claimRef)
    .filter((volume) => selector === undefined || matchesSelector(volume.metadata?.labels, selector))
    .sort(
      (a, b) =>
        compareQuantity(a.spec?.capacity?.storage ?? '0', b.spec?.capacity?.storage ?? '0') ||
        ((a.metadata?.name ?? '') < (b.metadata?.name ?? '') ? -1 : 1),
    )[0];
}
