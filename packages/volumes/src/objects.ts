import type { V1ConfigMap, V1PersistentVolume, V1PersistentVolumeClaim, V1Secret } from '@wherry/api';

/** A token of a service account, bound to a pod. */
export interface ServiceAccountToken {
  readonly token: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/** What is asked of the TokenRequest API. */
export interface TokenQuery {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly pod: { readonly name: string; readonly uid: string };
  readonly audience: string | undefined;
  readonly expirationSeconds: number;
}

/**
 * The API objects that volumes are made of. `undefined` means that the object does not exist; other
 * failures reject. Implemented by the kubelet over its watches.
 */
export interface VolumeObjects {
  configMap(namespace: string, name: string): Promise<V1ConfigMap | undefined>;
  secret(namespace: string, name: string): Promise<V1Secret | undefined>;
  persistentVolumeClaim(namespace: string, name: string): Promise<V1PersistentVolumeClaim | undefined>;
  persistentVolume(name: string): Promise<V1PersistentVolume | undefined>;
  serviceAccountToken(query: TokenQuery): Promise<ServiceAccountToken>;
}
