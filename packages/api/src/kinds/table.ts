import type { KindDeclaration, Verb } from '../kind.ts';

/** How a kind is named and served; everything that discovery shows. */
export type KindRow = Pick<
  KindDeclaration,
  | 'group'
  | 'version'
  | 'kind'
  | 'resource'
  | 'singular'
  | 'shortNames'
  | 'categories'
  | 'namespaced'
  | 'schema'
  | 'verbs'
  | 'subresources'
>;

type Subresources = NonNullable<KindDeclaration['subresources']>;
type Others = NonNullable<Subresources['others']>;

interface RowOptions {
  readonly short?: readonly string[];
  readonly categories?: readonly string[];
  readonly cluster?: boolean;
  readonly schema?: string;
  readonly verbs?: readonly Verb[];
  readonly status?: boolean;
  readonly scale?: boolean;
  readonly others?: Others;
}

const all = ['all'];
const extensions = ['api-extensions'];
const createOnly: readonly Verb[] = ['create'];

/** The object whose fields a Scale shows, the same for every scalable built-in kind. */
const scalePaths = { specReplicas: '.spec.replicas', statusReplicas: '.status.replicas', selector: '.spec.selector' };

function subresourcesOf(options: RowOptions): Subresources | undefined {
  if (!options.status && !options.scale && !options.others) return undefined;
  return {
    ...(options.status ? { status: true } : {}),
    ...(options.scale ? { scale: scalePaths } : {}),
    ...(options.others ? { others: options.others } : {}),
  };
}

function row(group: string, version: string, kind: string, resource: string, options: RowOptions = {}): KindRow {
  const subresources = subresourcesOf(options);
  return {
    group,
    version,
    kind,
    resource,
    singular: kind.toLowerCase(),
    namespaced: !options.cluster,
    schema: options.schema ?? `V1${kind}`,
    ...(options.short ? { shortNames: options.short } : {}),
    ...(options.categories ? { categories: options.categories } : {}),
    ...(options.verbs ? { verbs: options.verbs } : {}),
    ...(subresources ? { subresources } : {}),
  };
}

const streamVerbs = ['create', 'get'];
const proxyVerbs = ['create', 'delete', 'get', 'patch', 'update'];
const editVerbs = ['get', 'patch', 'update'];

const podSubresources: Others = [
  { name: 'attach', kind: 'PodAttachOptions', verbs: streamVerbs },
  { name: 'binding', kind: 'Binding', verbs: ['create'] },
  { name: 'ephemeralcontainers', kind: 'Pod', verbs: editVerbs },
  { name: 'eviction', kind: 'Eviction', group: 'policy', version: 'v1', verbs: ['create'] },
  { name: 'exec', kind: 'PodExecOptions', verbs: streamVerbs },
  { name: 'log', kind: 'Pod', verbs: ['get'] },
  { name: 'portforward', kind: 'PodPortForwardOptions', verbs: streamVerbs },
  { name: 'proxy', kind: 'PodProxyOptions', verbs: proxyVerbs },
  { name: 'resize', kind: 'Pod', verbs: editVerbs },
];

function coreRows(): KindRow[] {
  const core = (kind: string, resource: string, options?: RowOptions) => row('', 'v1', kind, resource, options);
  return [
    core('Binding', 'bindings', { verbs: createOnly }),
    core('ComponentStatus', 'componentstatuses', { short: ['cs'], cluster: true, verbs: ['get', 'list'] }),
    core('ConfigMap', 'configmaps', { short: ['cm'] }),
    core('Endpoints', 'endpoints', { short: ['ep'] }),
    core('Event', 'events', { short: ['ev'], schema: 'CoreV1Event' }),
    core('LimitRange', 'limitranges', { short: ['limits'] }),
    core('Namespace', 'namespaces', {
      short: ['ns'],
      cluster: true,
      verbs: ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch'],
      status: true,
      others: [{ name: 'finalize', kind: 'Namespace', verbs: ['update'] }],
    }),
    core('Node', 'nodes', {
      short: ['no'],
      cluster: true,
      status: true,
      others: [{ name: 'proxy', kind: 'NodeProxyOptions', verbs: proxyVerbs }],
    }),
    core('PersistentVolumeClaim', 'persistentvolumeclaims', { short: ['pvc'], status: true }),
    core('PersistentVolume', 'persistentvolumes', { short: ['pv'], cluster: true, status: true }),
    core('Pod', 'pods', { short: ['po'], categories: all, status: true, others: podSubresources }),
    core('PodTemplate', 'podtemplates'),
    core('ReplicationController', 'replicationcontrollers', {
      short: ['rc'],
      categories: all,
      status: true,
      scale: true,
    }),
    core('ResourceQuota', 'resourcequotas', { short: ['quota'], status: true }),
    core('Secret', 'secrets'),
    core('ServiceAccount', 'serviceaccounts', {
      short: ['sa'],
      others: [
        {
          name: 'token',
          kind: 'TokenRequest',
          group: 'authentication.k8s.io',
          version: 'v1',
          verbs: ['create'],
        },
      ],
    }),
    core('Service', 'services', {
      short: ['svc'],
      categories: all,
      status: true,
      others: [{ name: 'proxy', kind: 'ServiceProxyOptions', verbs: proxyVerbs }],
    }),
  ];
}

function workloadRows(): KindRow[] {
  const apps = (kind: string, resource: string, options?: RowOptions) => row('apps', 'v1', kind, resource, options);
  return [
    apps('ControllerRevision', 'controllerrevisions'),
    apps('DaemonSet', 'daemonsets', { short: ['ds'], categories: all, status: true }),
    apps('Deployment', 'deployments', { short: ['deploy'], categories: all, status: true, scale: true }),
    apps('ReplicaSet', 'replicasets', { short: ['rs'], categories: all, status: true, scale: true }),
    apps('StatefulSet', 'statefulsets', { short: ['sts'], categories: all, status: true, scale: true }),
    row('autoscaling', 'v2', 'HorizontalPodAutoscaler', 'horizontalpodautoscalers', {
      short: ['hpa'],
      categories: all,
      status: true,
      schema: 'V2HorizontalPodAutoscaler',
    }),
    row('autoscaling', 'v1', 'HorizontalPodAutoscaler', 'horizontalpodautoscalers', {
      short: ['hpa'],
      categories: all,
      status: true,
    }),
    row('batch', 'v1', 'CronJob', 'cronjobs', { short: ['cj'], categories: all, status: true }),
    row('batch', 'v1', 'Job', 'jobs', { categories: all, status: true }),
    row('policy', 'v1', 'PodDisruptionBudget', 'poddisruptionbudgets', { short: ['pdb'], status: true }),
    row('scheduling.k8s.io', 'v1', 'PriorityClass', 'priorityclasses', { short: ['pc'], cluster: true }),
    row('node.k8s.io', 'v1', 'RuntimeClass', 'runtimeclasses', { cluster: true }),
  ];
}

function accessRows(): KindRow[] {
  const review = (group: string, kind: string, resource: string, cluster: boolean) =>
    row(group, 'v1', kind, resource, { cluster, verbs: createOnly });
  const rbac = (kind: string, resource: string, cluster: boolean) =>
    row('rbac.authorization.k8s.io', 'v1', kind, resource, { cluster });
  return [
    review('authentication.k8s.io', 'SelfSubjectReview', 'selfsubjectreviews', true),
    review('authentication.k8s.io', 'TokenReview', 'tokenreviews', true),
    review('authorization.k8s.io', 'LocalSubjectAccessReview', 'localsubjectaccessreviews', false),
    review('authorization.k8s.io', 'SelfSubjectAccessReview', 'selfsubjectaccessreviews', true),
    review('authorization.k8s.io', 'SelfSubjectRulesReview', 'selfsubjectrulesreviews', true),
    review('authorization.k8s.io', 'SubjectAccessReview', 'subjectaccessreviews', true),
    row('certificates.k8s.io', 'v1', 'CertificateSigningRequest', 'certificatesigningrequests', {
      short: ['csr'],
      cluster: true,
      status: true,
      others: [{ name: 'approval', kind: 'CertificateSigningRequest', verbs: editVerbs }],
    }),
    rbac('ClusterRoleBinding', 'clusterrolebindings', true),
    rbac('ClusterRole', 'clusterroles', true),
    rbac('RoleBinding', 'rolebindings', false),
    rbac('Role', 'roles', false),
  ];
}

function networkRows(): KindRow[] {
  const networking = (kind: string, resource: string, options?: RowOptions) =>
    row('networking.k8s.io', 'v1', kind, resource, options);
  return [
    row('discovery.k8s.io', 'v1', 'EndpointSlice', 'endpointslices'),
    row('coordination.k8s.io', 'v1', 'Lease', 'leases'),
    row('events.k8s.io', 'v1', 'Event', 'events', { short: ['ev'], schema: 'EventsV1Event' }),
    networking('IngressClass', 'ingressclasses', { cluster: true }),
    networking('Ingress', 'ingresses', { short: ['ing'], status: true }),
    networking('IPAddress', 'ipaddresses', { short: ['ip'], cluster: true }),
    networking('NetworkPolicy', 'networkpolicies', { short: ['netpol'] }),
    networking('ServiceCIDR', 'servicecidrs', { cluster: true, status: true }),
  ];
}

function storageRows(): KindRow[] {
  const storage = (kind: string, resource: string, options: RowOptions) =>
    row('storage.k8s.io', 'v1', kind, resource, options);
  const resource = (kind: string, plural: string, options: RowOptions) =>
    row('resource.k8s.io', 'v1', kind, plural, options);
  return [
    storage('CSIDriver', 'csidrivers', { cluster: true }),
    storage('CSINode', 'csinodes', { cluster: true }),
    storage('CSIStorageCapacity', 'csistoragecapacities', {}),
    storage('StorageClass', 'storageclasses', { short: ['sc'], cluster: true }),
    storage('VolumeAttachment', 'volumeattachments', { cluster: true, status: true }),
    storage('VolumeAttributesClass', 'volumeattributesclasses', { short: ['vac'], cluster: true }),
    resource('DeviceClass', 'deviceclasses', { cluster: true }),
    resource('ResourceClaim', 'resourceclaims', { status: true, schema: 'ResourceV1ResourceClaim' }),
    resource('ResourceClaimTemplate', 'resourceclaimtemplates', {}),
    resource('ResourceSlice', 'resourceslices', { cluster: true }),
  ];
}

function extensionRows(): KindRow[] {
  const admission = (kind: string, resource: string, status = false) =>
    row('admissionregistration.k8s.io', 'v1', kind, resource, { cluster: true, categories: extensions, status });
  const flow = (kind: string, resource: string) =>
    row('flowcontrol.apiserver.k8s.io', 'v1', kind, resource, { cluster: true, status: true });
  return [
    admission('MutatingWebhookConfiguration', 'mutatingwebhookconfigurations'),
    admission('ValidatingAdmissionPolicy', 'validatingadmissionpolicies', true),
    admission('ValidatingAdmissionPolicyBinding', 'validatingadmissionpolicybindings'),
    admission('ValidatingWebhookConfiguration', 'validatingwebhookconfigurations'),
    row('apiextensions.k8s.io', 'v1', 'CustomResourceDefinition', 'customresourcedefinitions', {
      short: ['crd', 'crds'],
      cluster: true,
      categories: extensions,
      status: true,
    }),
    row('apiregistration.k8s.io', 'v1', 'APIService', 'apiservices', {
      cluster: true,
      categories: extensions,
      status: true,
    }),
    flow('FlowSchema', 'flowschemas'),
    flow('PriorityLevelConfiguration', 'prioritylevelconfigurations'),
  ];
}

/** Every kind that the server is built with, as `kubectl api-resources` of a 1.35 cluster lists them. */
export function kindRows(): KindRow[] {
  const rows = [
    ...coreRows(),
    ...workloadRows(),
    ...accessRows(),
    ...networkRows(),
    ...storageRows(),
    ...extensionRows(),
  ];
  return rows;
}
