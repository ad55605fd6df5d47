import type { V1ConfigMap, V1Namespace, V1ServiceAccount } from '@wherry/api';
import { codeOf } from '@wherry/base';
import { keyOf, resources } from '@wherry/client';
import { type Controller, type ControllerContext, defineController } from '../context.ts';
import { namespaceEnds } from '../pods/pod-control.ts';

const kind = { apiVersion: 'v1', kind: 'Namespace' };

const isActive = (namespace: V1Namespace | undefined): boolean =>
  namespace !== undefined &&
  namespace.metadata?.deletionTimestamp === undefined &&
  namespace.status?.phase !== 'Terminating';

/** Gives every namespace its `default` service account. */
export function serviceAccountController(context: ControllerContext): Controller {
  const { client, informers } = context;
  return defineController(context, {
    name: 'serviceaccount-controller',
    kind,
    start({ queue }) {
      const namespaces = informers.informer<V1Namespace>(resources.namespaces);
      const accounts = informers.informer<V1ServiceAccount>(resources.serviceAccounts);
      return {
        synced: [namespaces.synced, accounts.synced],
        subscriptions: [
          namespaces.onChange(({ object }) => queue.add(keyOf(object))),
          accounts.onChange(({ type, object }) => {
            if (type === 'deleted' && object.metadata?.name === 'default') queue.add(object.metadata.namespace ?? '');
          }),
        ],
        async reconcile(name) {
          if (!isActive(namespaces.get(name)) || accounts.get(`${name}/default`)) return;
          await createUnlessThere(() =>
            client.create<V1ServiceAccount>(resources.serviceAccounts, {
              apiVersion: 'v1',
              kind: 'ServiceAccount',
              metadata: { name: 'default', namespace: name },
            }),
          );
        },
      };
    },
  });
}

const rootCaName = 'kube-root-ca.crt';
const description =
  'Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.';

/** Publishes the cluster's CA in every namespace as ConfigMap `kube-root-ca.crt`, and puts it back when changed. */
export function rootCaPublisher(context: ControllerContext, rootCa: string): Controller {
  const { client, informers } = context;
  return defineController(context, {
    name: 'root-ca-certificate-publisher-controller',
    kind,
    start({ queue }) {
      const namespaces = informers.informer<V1Namespace>(resources.namespaces);
      const configMaps = informers.informer<V1ConfigMap>(resources.configMaps);
      return {
        synced: [namespaces.synced, configMaps.synced],
        subscriptions: [
          namespaces.onChange(({ object }) => queue.add(keyOf(object))),
          configMaps.onChange(({ object }) => {
            if (object.metadata?.name === rootCaName) queue.add(object.metadata.namespace ?? '');
          }),
        ],
        async reconcile(name) {
          if (!isActive(namespaces.get(name))) return;
          const existing = configMaps.get(`${name}/${rootCaName}`);
          const data = { 'ca.crt': rootCa };
          if (existing === undefined) {
            await createUnlessThere(() =>
              client.create<V1ConfigMap>(resources.configMaps, {
                apiVersion: 'v1',
                kind: 'ConfigMap',
                metadata: {
                  name: rootCaName,
                  namespace: name,
                  annotations: { 'kubernetes.io/description': description },
                },
                data,
              }),
            );
          } else if (existing.data?.['ca.crt'] !== rootCa || Object.keys(existing.data).length !== 1)
            await client.update<V1ConfigMap>(resources.configMaps, { ...existing, data });
        },
      };
    },
  });
}

/** A creation that may find the object there already, or the namespace on its way out. */
async function createUnlessThere(create: () => Promise<unknown>): Promise<void> {
  try {
    await create();
  } catch (error) {
    const code = codeOf(error);
    if (code !== 'alreadyExists' && code !== 'notFound' && !namespaceEnds(error)) throw error;
  }
}
