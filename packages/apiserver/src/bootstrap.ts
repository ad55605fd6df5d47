import type { ApiObject, KindDeclaration } from '@wherry/api';
import { codeOf } from '@wherry/base';
import type { Core } from './pipeline/core.ts';
import { createObject } from './pipeline/create.ts';
import { modifyObject } from './pipeline/modify.ts';
import { keyOf, type RequestOptions } from './pipeline/request.ts';
import { copyJson, equalJson } from './registry/json.ts';
import { type AddressRange, addressText } from './services/address-range.ts';

const namespaces = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];

const priorityClasses = [
  {
    name: 'system-node-critical',
    value: 2_000_001_000,
    description: 'Used for system critical pods that must not be moved from their current node.',
  },
  {
    name: 'system-cluster-critical',
    value: 2_000_000_000,
    description:
      'Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.',
  },
];

const options: RequestOptions = {
  user: { username: 'system:apiserver', groups: ['system:masters', 'system:authenticated'] },
  dryRun: false,
  fieldManager: undefined,
  fieldValidation: 'Ignore',
  warn: () => undefined,
};

/** Creates what a cluster has from the start, where it is absent. Idempotent. */
export async function ensureBootstrapObjects(
  core: Core,
  range: AddressRange,
  advertise: { readonly address: string; readonly port: number },
  more: readonly ApiObject[],
): Promise<void> {
  await Promise.all(
    namespaces.map((name) => ensure(core, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } })),
  );
  const classes = priorityClasses.map(
    ({ name, value, description }): ApiObject => ({
      apiVersion: 'scheduling.k8s.io/v1',
      kind: 'PriorityClass',
      metadata: { name },
      value,
      description,
      preemptionPolicy: 'PreemptLowerPriority',
    }),
  );
  await Promise.all(
    [...classes, ...more, ...kubernetesService(range, advertise)].map((object) => ensure(core, object)),
  );
  await Promise.all(kubernetesEndpoints(advertise).map((object) => reconcile(core, object)));
}

function kindOf(core: Core, object: ApiObject): KindDeclaration | undefined {
  return core.catalog.ofObject(object.apiVersion ?? '', object.kind ?? '');
}

async function ensure(core: Core, object: ApiObject): Promise<void> {
  const kind = kindOf(core, object);
  if (kind === undefined) return;
  const { name, namespace = '' } = object.metadata!;
  const target = { kind, namespace, name: '', subresource: '' };
  if (core.registry.cacheOf(kind).get(keyOf(target, name!)) !== undefined) return;
  try {
    await createObject(core, target, copyJson(object), options);
  } catch (error) {
    if (codeOf(error) !== 'alreadyExists') throw error;
  }
}

/** Creates an object or makes everything but its metadata as given. */
async function reconcile(core: Core, object: ApiObject): Promise<void> {
  await ensure(core, object);
  const kind = kindOf(core, object);
  if (kind === undefined) return;
  const { name, namespace = '' } = object.metadata!;
  const target = { kind, namespace, name: name!, subresource: '' };
  const { metadata: _, ...content } = object;
  await modifyObject(
    core,
    target,
    {
      part: 'main',
      produce: (live) => {
        const draft = copyJson(live.object);
        delete draft.metadata!.resourceVersion;
        for (const [key, value] of Object.entries(content))
          if (!equalJson(draft[key], value)) draft[key] = copyJson(value);
        return draft;
      },
    },
    options,
  );
}

/** `default/kubernetes` on the first address of the range. */
function kubernetesService(range: AddressRange, advertise: { readonly port: number }): ApiObject[] {
  const clusterIP = addressText(range.first + 1);
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: {
        name: 'kubernetes',
        namespace: 'default',
        labels: { component: 'apiserver', provider: 'kubernetes' },
      },
      spec: {
        type: 'ClusterIP',
        clusterIP,
        clusterIPs: [clusterIP],
        ipFamilies: ['IPv4'],
        ipFamilyPolicy: 'SingleStack',
        sessionAffinity: 'None',
        ports: [{ name: 'https', port: 443, protocol: 'TCP', targetPort: advertise.port }],
      },
    },
  ];
}

function kubernetesEndpoints(advertise: { readonly address: string; readonly port: number }): ApiObject[] {
  const { address, port } = advertise;
  return [
    {
      apiVersion: 'v1',
      kind: 'Endpoints',
      metadata: {
        name: 'kubernetes',
        namespace: 'default',
        labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' },
      },
      subsets: [{ addresses: [{ ip: address }], ports: [{ name: 'https', port, protocol: 'TCP' }] }],
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: 'kubernetes', namespace: 'default', labels: { 'kubernetes.io/service-name': 'kubernetes' } },
      addressType: 'IPv4',
      endpoints: [{ addresses: [address], conditions: { ready: true } }],
      ports: [{ name: 'https', port, protocol: 'TCP' }],
    },
  ];
}
