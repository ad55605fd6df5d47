import type { ResourceId } from './client.ts';

const of = (group: string, version: string, resource: string, namespaced = true): ResourceId => ({
  group,
  version,
  resource,
  namespaced,
});

/** The resources that Wherry's own components use. */
export const resources = {
  pods: of('', 'v1', 'pods'),
  services: of('', 'v1', 'services'),
  endpoints: of('', 'v1', 'endpoints'),
  configMaps: of('', 'v1', 'configmaps'),
  secrets: of('', 'v1', 'secrets'),
  events: of('', 'v1', 'events'),
  nodes: of('', 'v1', 'nodes', false),
  namespaces: of('', 'v1', 'namespaces', false),
  serviceAccounts: of('', 'v1', 'serviceaccounts'),
  persistentVolumeClaims: of('', 'v1', 'persistentvolumeclaims'),
  persistentVolumes: of('', 'v1', 'persistentvolumes', false),
  resourceQuotas: of('', 'v1', 'resourcequotas'),
  podTemplates: of('', 'v1', 'podtemplates'),
  replicationControllers: of('', 'v1', 'replicationcontrollers'),
  deployments: of('apps', 'v1', 'deployments'),
  replicaSets: of('apps', 'v1', 'replicasets'),
  statefulSets: of('apps', 'v1', 'statefulsets'),
  daemonSets: of('apps', 'v1', 'daemonsets'),
  controllerRevisions: of('apps', 'v1', 'controllerrevisions'),
  jobs: of('batch', 'v1', 'jobs'),
  cronJobs: of('batch', 'v1', 'cronjobs'),
  endpointSlices: of('discovery.k8s.io', 'v1', 'endpointslices'),
  leases: of('coordination.k8s.io', 'v1', 'leases'),
  clusterRoles: of('rbac.authorization.k8s.io', 'v1', 'clusterroles', false),
  clusterRoleBindings: of('rbac.authorization.k8s.io', 'v1', 'clusterrolebindings', false),
  roles: of('rbac.authorization.k8s.io', 'v1', 'roles'),
  roleBindings: of('rbac.authorization.k8s.io', 'v1', 'rolebindings'),
  storageClasses: of('storage.k8s.io', 'v1', 'storageclasses', false),
  priorityClasses: of('scheduling.k8s.io', 'v1', 'priorityclasses', false),
  podDisruptionBudgets: of('policy', 'v1', 'poddisruptionbudgets'),
} as const satisfies Record<string, ResourceId>;
