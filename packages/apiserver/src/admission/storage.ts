import type { V1ObjectMeta, V1PersistentVolumeClaim, V1StorageClass } from '@wherry/api';
import type { AdmissionPlugin } from './contract.ts';
import { resources } from './refuse.ts';

const defaultAnnotation = 'storageclass.kubernetes.io/is-default-class';
const betaAnnotation = 'volume.beta.kubernetes.io/storage-class';

function created(object: V1StorageClass): string {
  return object.metadata?.creationTimestamp ?? '';
}

/** A claim that names no class gets the default one, the newest if there are several. */
export const defaultStorageClass: AdmissionPlugin = {
  name: 'DefaultStorageClass',
  admit(request, reader) {
    if (request.kind.resource !== 'persistentvolumeclaims' || request.subresource !== '') return;
    if (request.operation !== 'CREATE' || !request.object) return;
    const claim = request.object as unknown as V1PersistentVolumeClaim;
    if (claim.spec?.storageClassName !== undefined) return;
    if (claim.metadata?.annotations?.[betaAnnotation] !== undefined) return;
    const newest = (reader.list(resources.storageClasses, '') as unknown as readonly V1StorageClass[])
      .filter((storage) => storage.metadata?.annotations?.[defaultAnnotation] === 'true')
      .sort((a, b) => (created(a) < created(b) ? 1 : created(a) > created(b) ? -1 : 0))[0];
    if (newest?.metadata?.name) claim.spec!.storageClassName = newest.metadata.name;
  },
};

const protections: Readonly<Record<string, string>> = {
  persistentvolumeclaims: 'kubernetes.io/pvc-protection',
  persistentvolumes: 'kubernetes.io/pv-protection',
};

/** Volumes and claims in use stay until their users are gone; controllers take the finalizers off. */
export const storageObjectInUseProtection: AdmissionPlugin = {
  name: 'StorageObjectInUseProtection',
  admit(request) {
    if (request.operation !== 'CREATE' || request.kind.group !== '' || request.subresource !== '') return;
    const finalizer = protections[request.kind.resource];
    if (!finalizer || !request.object) return;
    request.object.metadata ??= {};
    const metadata: V1ObjectMeta = request.object.metadata;
    if (!metadata.finalizers?.includes(finalizer)) metadata.finalizers = [...(metadata.finalizers ?? []), finalizer];
  },
};
