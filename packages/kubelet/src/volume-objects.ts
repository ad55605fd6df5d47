import type { V1PersistentVolume, V1PersistentVolumeClaim } from '@wherry/api';
import { type Clock, codeOf, WherryError } from '@wherry/base';
import { type ApiClient, type KubeObject, type ObjectName, type ResourceId, resources } from '@wherry/client';
import type { ServiceAccountToken, TokenQuery, VolumeObjects } from '@wherry/volumes';
import type { ObjectWatches } from './pod/object-watches.ts';

interface TokenRequest extends KubeObject {
  readonly spec: {
    readonly audiences?: readonly string[];
    readonly expirationSeconds: number;
    readonly boundObjectRef: {
      readonly apiVersion: string;
      readonly kind: string;
      readonly name: string;
      readonly uid: string;
    };
  };
  readonly status?: { readonly token: string; readonly expirationTimestamp: string };
}

/** The objects that volumes ask for: ConfigMaps and Secrets from the watches, the rest from the API. */
export function volumeObjects(client: ApiClient, watches: ObjectWatches, clock: Clock): VolumeObjects {
  const find = async <T extends KubeObject>(resource: ResourceId, at: ObjectName): Promise<T | undefined> => {
    try {
      return await client.get<T>(resource, at);
    } catch (error) {
      if (codeOf(error) === 'notFound') return undefined;
      throw error;
    }
  };
  return {
    configMap: (namespace, name) => watches.configMap(namespace, name),
    secret: (namespace, name) => watches.secret(namespace, name),
    persistentVolumeClaim: (namespace, name) =>
      find<V1PersistentVolumeClaim>(resources.persistentVolumeClaims, { namespace, name }),
    persistentVolume: (name) => find<V1PersistentVolume>(resources.persistentVolumes, { name }),
    serviceAccountToken: (query) => requestToken(client, query, clock),
  };
}

async function requestToken(client: ApiClient, query: TokenQuery, clock: Clock): Promise<ServiceAccountToken> {
  const { namespace, serviceAccount: name, pod, audience, expirationSeconds } = query;
  const body: TokenRequest = {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    metadata: { name, namespace },
    spec: {
      ...(audience === undefined ? {} : { audiences: [audience] }),
      expirationSeconds,
      boundObjectRef: { apiVersion: 'v1', kind: 'Pod', ...pod },
    },
  };
  const answer = await client.createSubresource<TokenRequest>(
    resources.serviceAccounts,
    { namespace, name },
    'token',
    body,
  );
  if (!answer.status?.token)
    throw new WherryError('internal', `the token of service account ${namespace}/${name} is empty`);
  const expiresAt = Date.parse(answer.status.expirationTimestamp);
  return {
    token: answer.status.token,
    expiresAt: Number.isNaN(expiresAt) ? clock.now() + expirationSeconds * 1000 : expiresAt,
  };
}
