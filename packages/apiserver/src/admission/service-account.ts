import type { V1Container, V1Pod, V1PodSpec, V1ServiceAccount, V1Volume } from '@wherry/api';
import type { Random } from '@wherry/base';
import type { AdmissionPlugin } from './contract.ts';
import { isPod, refuse, resources } from './refuse.ts';

/** Where clients in a container look for their token (client-go `rest.InClusterConfig`). */
const mountPath = '/var/run/secrets/kubernetes.io/serviceaccount';
const volumePrefix = 'kube-api-access-';
const mirrorAnnotation = 'kubernetes.io/config.mirror';
/** An hour and seven seconds: lets the issuer tell tokens asked for by this plug-in from others. */
const tokenSeconds = 3607;

function tokenVolume(name: string): V1Volume {
  return {
    name,
    projected: {
      defaultMode: 0o644,
      sources: [
        { serviceAccountToken: { expirationSeconds: tokenSeconds, path: 'token' } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        {
          downwardAPI: {
            items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
          },
        },
      ],
    },
  };
}

function lacksMount(container: V1Container): boolean {
  return !(container.volumeMounts ?? []).some((mount) => mount.mountPath === mountPath);
}

function mountToken(spec: V1PodSpec, random: Random): void {
  const lacking = [...(spec.initContainers ?? []), ...spec.containers].filter(lacksMount);
  if (lacking.length === 0) return;
  const known = (spec.volumes ?? []).find((volume) => volume.name.startsWith(volumePrefix) && volume.projected);
  const name = known?.name ?? `${volumePrefix}${random.suffix(5)}`;
  if (!known) spec.volumes = [...(spec.volumes ?? []), tokenVolume(name)];
  for (const container of lacking) {
    container.volumeMounts = [...(container.volumeMounts ?? []), { mountPath, name, readOnly: true }];
  }
}

/** Every pod runs as a service account, with its token mounted unless somebody says no. */
export function serviceAccount(random: Random): AdmissionPlugin {
  return {
    name: 'ServiceAccount',
    admit(request, reader) {
      if (!isPod(request, 'CREATE') || !request.object) return;
      const pod = request.object as unknown as V1Pod;
      const spec = pod.spec!;
      if (pod.metadata?.annotations?.[mirrorAnnotation] !== undefined) {
        if (spec.serviceAccountName) throw refuse(request, 'a mirror pod may not reference service accounts');
        return;
      }
      const name = spec.serviceAccountName || 'default';
      const found = reader.get(resources.serviceAccounts, request.namespace, name) as V1ServiceAccount | undefined;
      if (!found) {
        const where = `${request.namespace}/${name}`;
        throw refuse(
          request,
          `error looking up service account ${where}: serviceaccount ${JSON.stringify(name)} not found`,
        );
      }
      spec.serviceAccountName = name;
      spec.serviceAccount = name;
      const automount = spec.automountServiceAccountToken ?? found.automountServiceAccountToken ?? true;
      if (automount) mountToken(spec, random);
      if (!spec.imagePullSecrets?.length && found.imagePullSecrets?.length) {
        spec.imagePullSecrets = found.imagePullSecrets.map((secret) => ({ ...secret }));
      }
    },
  };
}
