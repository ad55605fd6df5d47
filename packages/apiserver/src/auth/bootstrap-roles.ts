import type { ApiObject } from '@wherry/api';

/**
 * The roles that every cluster has from its first start (kubernetes.io/docs/reference/access-authn-authz/rbac,
 * "Default roles and role bindings"). Each rule is one line: `groups | resources[names] | verbs`;
 * `core` is the group `''`, `url` stands before paths outside of resources, `read` is get, list and watch,
 * `write` the five verbs that change something.
 */
const events = 'core,events.k8s.io | events | create patch update';
const leaderRules = ['coordination.k8s.io | leases,leasecandidates | create get list update watch'];

const controllers: Readonly<Record<string, readonly string[]>> = {
  'attachdetach-controller': [
    'core | persistentvolumeclaims,persistentvolumes,pods | list watch',
    'core | nodes | read',
    'core | nodes/status | patch update',
    events,
    'storage.k8s.io | volumeattachments | create delete read',
    'storage.k8s.io | csidrivers,csinodes | read',
  ],
  'certificate-controller': [
    'certificates.k8s.io | certificatesigningrequests | delete read',
    'certificates.k8s.io | certificatesigningrequests/approval,certificatesigningrequests/status | update',
    'certificates.k8s.io | signers[kubernetes.io/kube-apiserver-client-kubelet] | approve',
    'certificates.k8s.io | signers[kubernetes.io/kube-apiserver-client,kubernetes.io/kube-apiserver-client-kubelet,kubernetes.io/kubelet-serving,kubernetes.io/legacy-unknown] | sign',
    'authorization.k8s.io | subjectaccessreviews | create',
    events,
  ],
  'clusterrole-aggregation-controller': ['rbac.authorization.k8s.io | clusterroles | escalate patch read update'],
  'cronjob-controller': [
    'batch | cronjobs | read update',
    'batch | jobs | create delete patch read update',
    'batch | cronjobs/status,cronjobs/finalizers | update',
    'core | pods | delete list watch',
    events,
  ],
  'daemon-set-controller': [
    'apps,extensions | daemonsets | read',
    'apps,extensions | daemonsets/status,daemonsets/finalizers | update',
    'core | nodes | list watch',
    'core | pods | create delete list patch watch',
    'core | pods/binding | create',
    'apps | controllerrevisions | create delete patch read update',
    events,
  ],
  'deployment-controller': [
    'apps,extensions | deployments | read update',
    'apps,extensions | deployments/status,deployments/finalizers | update',
    'apps,extensions | replicasets | create delete patch read update',
    'core | pods | read update',
    events,
  ],
  'disruption-controller': [
    'apps,extensions | deployments,replicasets | read',
    'core | replicationcontrollers | read',
    'policy | poddisruptionbudgets | read',
    'apps | statefulsets | read',
    'policy | poddisruptionbudgets/status | update',
    'core | pods/status | patch update',
    '* | */scale | get',
    events,
  ],
  'endpoint-controller': [
    'core | pods,services | read',
    'core | endpoints | create delete read update',
    'core | endpoints/restricted | create',
    events,
  ],
  'endpointslice-controller': [
    'core | nodes,pods,services | read',
    'core | services/finalizers | update',
    'discovery.k8s.io | endpointslices | create delete read update',
    events,
  ],
  'endpointslicemirroring-controller': [
    'core | endpoints,services | read',
    'core | services/finalizers,endpoints/finalizers | update',
    'discovery.k8s.io | endpointslices | create delete read update',
    events,
  ],
  'ephemeral-volume-controller': [
    'core | pods | read',
    'core | pods/finalizers | update',
    'core | persistentvolumeclaims | create read',
    events,
  ],
  'expand-controller': [
    'core | persistentvolumes | patch read update',
    'core | persistentvolumeclaims/status | patch update',
    'core | persistentvolumeclaims | read',
    events,
    'core | services | get',
  ],
  'generic-garbage-collector': ['* | * | delete patch read update', events],
  'horizontal-pod-autoscaler': [
    'autoscaling | horizontalpodautoscalers | read',
    'autoscaling | horizontalpodautoscalers/status | update',
    '* | */scale | get update',
    'core,metrics.k8s.io | pods | list watch',
    'custom.metrics.k8s.io,external.metrics.k8s.io | * | read',
    events,
  ],
  'job-controller': [
    'batch | jobs | patch read update',
    'batch | jobs/status,jobs/finalizers | update',
    'core | pods | create delete list patch watch',
    events,
  ],
  'legacy-service-account-token-cleaner': [
    'core | configmaps[kube-apiserver-legacy-service-account-token-tracking] | get',
    'core | secrets | delete patch',
  ],
  'namespace-controller': [
    'core | namespaces | delete read',
    'core | namespaces/finalize,namespaces/status | update',
    '* | * | delete deletecollection read',
  ],
  'node-controller': [
    'core | nodes | delete patch read update',
    'core | nodes/status,pods/status | patch update',
    'core | pods | delete read',
    events,
  ],
  'persistent-volume-binder': [
    'core | persistentvolumes | create delete read update',
    'core | persistentvolumes/status,persistentvolumeclaims/status | update',
    'core | persistentvolumeclaims | read update',
    'core | pods | create delete read',
    'storage.k8s.io | storageclasses | read',
    'core | nodes | list watch',
    events,
    'core | events | watch',
    'core | services | get',
  ],
  'pod-garbage-collector': ['core | pods | delete list watch', 'core | nodes | read', 'core | pods/status | patch'],
  'pv-protection-controller': ['core | persistentvolumes | read update', events],
  'pvc-protection-controller': ['core | persistentvolumeclaims | read update', 'core | pods | read', events],
  'replicaset-controller': [
    'apps,extensions | replicasets | read update',
    'apps,extensions | replicasets/status,replicasets/finalizers | update',
    'core | pods | create delete list patch watch',
    events,
  ],
  'replication-controller': [
    'core | replicationcontrollers | read update',
    'core | replicationcontrollers/status,replicationcontrollers/finalizers | update',
    'core | pods | create delete list patch watch',
    events,
  ],
  'resource-claim-controller': [
    'core | pods | read',
    'core | pods/finalizers | update',
    'resource.k8s.io | resourceclaims | create delete read',
    'resource.k8s.io | resourceclaims,resourceclaims/status | patch update',
    'core | pods/status | patch update',
    events,
  ],
  'resourcequota-controller': ['* | * | list watch', 'core | resourcequotas/status | update', events],
  'root-ca-cert-publisher': ['core | configmaps | create update', events],
  'route-controller': ['core | nodes | list watch', 'core | nodes/status | patch', events],
  'selinux-warning-controller': [
    events,
    'core | persistentvolumes,persistentvolumeclaims,pods | read',
    'storage.k8s.io | csidrivers | read',
  ],
  'service-account-controller': ['core | serviceaccounts | create', events],
  'service-cidrs-controller': [
    'networking.k8s.io | servicecidrs | patch read update',
    'networking.k8s.io | servicecidrs/finalizers,servicecidrs/status | patch update',
    'networking.k8s.io | ipaddresses | read',
    events,
  ],
  'service-controller': [
    'core | services | read',
    'core | services/status | patch update',
    'core | nodes | list watch',
    events,
  ],
  'statefulset-controller': [
    'core | pods | list watch',
    'apps | statefulsets | read',
    'apps | statefulsets/status,statefulsets/finalizers | update',
    'core | pods | create delete get patch update',
    'apps | controllerrevisions | create delete patch read update',
    'core | persistentvolumeclaims | create delete read update',
    'core | pods/finalizers | update',
    events,
  ],
  'ttl-after-finished-controller': ['batch | jobs | delete read', events],
  'ttl-controller': ['core | nodes | list patch update watch', events],
  'validatingadmissionpolicy-status-controller': [
    'admissionregistration.k8s.io | validatingadmissionpolicies | read',
    'admissionregistration.k8s.io | validatingadmissionpolicies/status | get patch update',
    events,
  ],
  'volumeattributesclass-protection-controller': [
    'core | persistentvolumeclaims,persistentvolumes | read',
    'storage.k8s.io | volumeattributesclasses | read update',
    events,
  ],
};

const clusterRoles: Readonly<Record<string, readonly string[]>> = {
  'cluster-admin': ['* | * | *', 'url | * | *'],
  'system:aggregate-to-admin': [
    'authorization.k8s.io | localsubjectaccessreviews | create',
    'rbac.authorization.k8s.io | rolebindings,roles | read write',
  ],
  'system:aggregate-to-edit': [
    'core | pods/attach,pods/exec,pods/portforward,pods/proxy,secrets,services/proxy | read',
    'core | serviceaccounts | impersonate',
    'core | pods,pods/attach,pods/exec,pods/portforward,pods/proxy | write',
    'core | pods/eviction,serviceaccounts/token | create',
    'core | configmaps,persistentvolumeclaims,replicationcontrollers,replicationcontrollers/scale,secrets,serviceaccounts,services,services/proxy | write',
    'core,events.k8s.io | events | write',
    'apps | daemonsets,deployments,deployments/rollback,deployments/scale,replicasets,replicasets/scale,statefulsets,statefulsets/scale | write',
    'autoscaling | horizontalpodautoscalers | write',
    'batch | cronjobs,jobs | write',
    'policy | poddisruptionbudgets | write',
    'networking.k8s.io | ingresses,networkpolicies | write',
    'coordination.k8s.io | leases | read write',
    'resource.k8s.io | resourceclaims,resourceclaimtemplates | write',
  ],
  'system:aggregate-to-view': [
    'core | configmaps,endpoints,persistentvolumeclaims,persistentvolumeclaims/status,pods,replicationcontrollers,replicationcontrollers/scale,serviceaccounts,services,services/status | read',
    'core | bindings,limitranges,namespaces/status,pods/log,pods/status,replicationcontrollers/status,resourcequotas,resourcequotas/status | read',
    'core | namespaces | read',
    'core,events.k8s.io | events | read',
    'discovery.k8s.io | endpointslices | read',
    'apps | controllerrevisions,daemonsets,daemonsets/status,deployments,deployments/scale,deployments/status,replicasets,replicasets/scale,replicasets/status,statefulsets,statefulsets/scale,statefulsets/status | read',
    'autoscaling | horizontalpodautoscalers,horizontalpodautoscalers/status | read',
    'batch | cronjobs,cronjobs/status,jobs,jobs/status | read',
    'policy | poddisruptionbudgets,poddisruptionbudgets/status | read',
    'networking.k8s.io | ingresses,ingresses/status,networkpolicies | read',
    'resource.k8s.io | resourceclaims,resourceclaims/status,resourceclaimtemplates | read',
  ],
  'system:auth-delegator': [
    'authentication.k8s.io | tokenreviews | create',
    'authorization.k8s.io | subjectaccessreviews | create',
  ],
  'system:basic-user': [
    'authorization.k8s.io | selfsubjectaccessreviews,selfsubjectrulesreviews | create',
    'authentication.k8s.io | selfsubjectreviews | create',
  ],
  'system:certificates.k8s.io:certificatesigningrequests:nodeclient': [
    'certificates.k8s.io | certificatesigningrequests/nodeclient | create',
  ],
  'system:certificates.k8s.io:certificatesigningrequests:selfnodeclient': [
    'certificates.k8s.io | certificatesigningrequests/selfnodeclient | create',
  ],
  ...Object.fromEntries(
    ['kube-apiserver-client', 'kube-apiserver-client-kubelet', 'kubelet-serving', 'legacy-unknown'].map((signer) => [
      `system:certificates.k8s.io:${signer}-approver`,
      [`certificates.k8s.io | signers[kubernetes.io/${signer}] | approve`],
    ]),
  ),
  'system:discovery': [
    'url | /api,/api/*,/apis,/apis/*,/healthz,/livez,/openapi,/openapi/*,/readyz,/version,/version/ | get',
  ],
  'system:kube-aggregator': ['core | endpoints,services | read'],
  'system:kube-controller-manager': [
    events,
    'coordination.k8s.io | leases | create',
    'coordination.k8s.io | leases[kube-controller-manager] | get update',
    'core | secrets,serviceaccounts | create update',
    'core | secrets | delete',
    'core | configmaps,namespaces,secrets,serviceaccounts | get',
    'authentication.k8s.io | tokenreviews | create',
    'authorization.k8s.io | subjectaccessreviews | create',
    '* | * | list watch',
    'core | serviceaccounts/token | create',
  ],
  'system:kube-dns': ['core | endpoints,services | list watch'],
  'system:kube-scheduler': [
    events,
    'coordination.k8s.io | leases | create',
    'coordination.k8s.io | leases[kube-scheduler] | read update',
    'coordination.k8s.io | leasecandidates | read write',
    'core | nodes,namespaces,replicationcontrollers,services,persistentvolumeclaims,persistentvolumes | read',
    'core | pods | delete read',
    'core | bindings,pods/binding | create',
    'core | pods/status | patch update',
    'apps,extensions | replicasets | read',
    'apps | statefulsets | read',
    'policy | poddisruptionbudgets | read',
    'authentication.k8s.io | tokenreviews | create',
    'authorization.k8s.io | subjectaccessreviews | create',
    'storage.k8s.io | csidrivers,csinodes,csistoragecapacities,volumeattachments | read',
    'resource.k8s.io | deviceclasses,resourceslices | read',
    'resource.k8s.io | resourceclaims,resourceclaims/status | patch read update',
    'core | pods/finalizers | update',
  ],
  'system:kubelet-api-admin': [
    'core | nodes | read proxy',
    'core | nodes/configz,nodes/healthz,nodes/log,nodes/metrics,nodes/pods,nodes/proxy,nodes/stats | *',
  ],
  'system:monitoring': [
    'url | /healthz,/healthz/*,/livez,/livez/*,/metrics,/metrics/slis,/readyz,/readyz/* | get',
    'core | nodes/metrics | get',
  ],
  'system:node': [
    'authentication.k8s.io | tokenreviews | create',
    'authorization.k8s.io | localsubjectaccessreviews,subjectaccessreviews | create',
    'core | services | read',
    'core | nodes | create patch read update',
    'core | nodes/status,pods/status | patch update',
    events,
    'core | pods | create delete read',
    'core | pods/eviction | create',
    'core | configmaps,secrets | read',
    'core | endpoints,persistentvolumeclaims,persistentvolumes,serviceaccounts | get',
    'certificates.k8s.io | certificatesigningrequests | create read',
    'coordination.k8s.io | leases | create delete get patch update',
    'storage.k8s.io | volumeattachments | get',
    'core | serviceaccounts/token | create',
    'core | persistentvolumeclaims/status | get patch update',
    'storage.k8s.io | csidrivers | read',
    'storage.k8s.io | csinodes | create delete get patch update',
    'node.k8s.io | runtimeclasses | read',
    'resource.k8s.io | resourceclaims | get',
    'resource.k8s.io | resourceslices | deletecollection',
  ],
  'system:node-bootstrapper': ['certificates.k8s.io | certificatesigningrequests | create read'],
  'system:node-problem-detector': ['core | nodes | get', 'core | nodes/status | patch', events],
  'system:node-proxier': [
    'core | endpoints,services | list watch',
    'core | nodes | read',
    events,
    'networking.k8s.io | servicecidrs | list watch',
    'discovery.k8s.io | endpointslices | list watch',
  ],
  'system:persistent-volume-provisioner': [
    'core | persistentvolumes | create delete read',
    'core | persistentvolumeclaims | read update',
    'storage.k8s.io | storageclasses | read',
    'core | events | watch',
    events,
  ],
  'system:public-info-viewer': ['url | /healthz,/livez,/readyz,/version,/version/ | get'],
  'system:service-account-issuer-discovery': [
    'url | /.well-known/openid-configuration,/.well-known/openid-configuration/,/openid/v1/jwks,/openid/v1/jwks/ | get',
  ],
  'system:volume-scheduler': [
    'core | persistentvolumes,persistentvolumeclaims | patch read update',
    'storage.k8s.io | storageclasses | read',
  ],
};

/** ClusterRole name → the label that makes it part of an aggregated role. */
const aggregated: Readonly<Record<string, string>> = {
  edit: 'admin',
  view: 'edit',
  'system:aggregate-to-admin': 'admin',
  'system:aggregate-to-edit': 'edit',
  'system:aggregate-to-view': 'view',
};

/** `ClusterRoleBinding` name (= role name) → subjects. */
const bindings: Readonly<Record<string, readonly string[]>> = {
  'cluster-admin': ['Group system:masters'],
  'system:basic-user': ['Group system:authenticated'],
  'system:discovery': ['Group system:authenticated'],
  'system:kube-controller-manager': ['User system:kube-controller-manager'],
  'system:kube-dns': ['ServiceAccount kube-system/kube-dns'],
  'system:kube-scheduler': ['User system:kube-scheduler'],
  'system:monitoring': ['Group system:monitoring'],
  'system:node': [],
  'system:node-proxier': ['User system:kube-proxy'],
  'system:public-info-viewer': ['Group system:authenticated', 'Group system:unauthenticated'],
  'system:service-account-issuer-discovery': ['Group system:serviceaccounts'],
  'system:volume-scheduler': ['User system:kube-scheduler'],
};

/** `namespace/name` → rules and subjects of the roles inside of namespaces. */
const roles: Readonly<Record<string, { rules: readonly string[]; subjects: readonly string[]; binding?: string }>> = {
  'kube-public/system:controller:bootstrap-signer': {
    rules: ['core | configmaps | read', 'core | configmaps[cluster-info] | update', events],
    subjects: ['ServiceAccount kube-system/bootstrap-signer'],
  },
  'kube-system/extension-apiserver-authentication-reader': {
    rules: ['core | configmaps[extension-apiserver-authentication] | read'],
    subjects: ['User system:kube-controller-manager', 'User system:kube-scheduler'],
    binding: 'system::extension-apiserver-authentication-reader',
  },
  'kube-system/system::leader-locking-kube-controller-manager': {
    rules: leaderRules,
    subjects: ['User system:kube-controller-manager', 'ServiceAccount kube-system/kube-controller-manager'],
  },
  'kube-system/system::leader-locking-kube-scheduler': {
    rules: leaderRules,
    subjects: ['User system:kube-scheduler', 'ServiceAccount kube-system/kube-scheduler'],
  },
  'kube-system/system:controller:bootstrap-signer': {
    rules: ['core | secrets | read'],
    subjects: ['ServiceAccount kube-system/bootstrap-signer'],
  },
  'kube-system/system:controller:cloud-provider': {
    rules: ['core | configmaps | create read'],
    subjects: ['ServiceAccount kube-system/cloud-provider'],
  },
  'kube-system/system:controller:token-cleaner': {
    rules: ['core | secrets | delete read', events],
    subjects: ['ServiceAccount kube-system/token-cleaner'],
  },
};

const verbSets: Readonly<Record<string, readonly string[]>> = {
  read: ['get', 'list', 'watch'],
  write: ['create', 'delete', 'deletecollection', 'patch', 'update'],
};

function rule(line: string): object {
  const [where, what, how] = line.split('|').map((part) => part.trim()) as [string, string, string];
  const verbs = how
    .split(' ')
    .flatMap((verb) => verbSets[verb] ?? [verb])
    .sort();
  if (where === 'url') return { nonResourceURLs: what.split(','), verbs };
  const named = /^(.+)\[(.+)\]$/.exec(what);
  return {
    apiGroups: where.split(',').map((group) => (group === 'core' ? '' : group)),
    resources: (named?.[1] ?? what).split(','),
    ...(named ? { resourceNames: named[2]!.split(',') } : {}),
    verbs,
  };
}

function subject(text: string): object {
  const [kind, name] = text.split(' ') as [string, string];
  if (kind !== 'ServiceAccount') return { kind, name, apiGroup: 'rbac.authorization.k8s.io' };
  const [namespace, account] = name.split('/') as [string, string];
  return { kind, namespace, name: account };
}

function meta(name: string, extra: object = {}, labels: object = {}): NonNullable<ApiObject['metadata']> {
  return {
    name,
    ...extra,
    annotations: { 'rbac.authorization.kubernetes.io/autoupdate': 'true' },
    labels: { 'kubernetes.io/bootstrapping': 'rbac-defaults', ...labels },
  };
}

const apiVersion = 'rbac.authorization.k8s.io/v1';
const roleRef = (kind: string, name: string) => ({ apiGroup: 'rbac.authorization.k8s.io', kind, name });

/** The default ClusterRoles, ClusterRoleBindings, Roles and RoleBindings, made anew by each call. */
export function bootstrapRbacObjects(): ApiObject[] {
  const objects: ApiObject[] = [];
  const label = (name: string): object =>
    aggregated[name] ? { [`rbac.authorization.k8s.io/aggregate-to-${aggregated[name]}`]: 'true' } : {};
  for (const [name, lines] of Object.entries(clusterRoles))
    objects.push({ apiVersion, kind: 'ClusterRole', metadata: meta(name, {}, label(name)), rules: lines.map(rule) });
  for (const name of ['admin', 'edit', 'view']) {
    const clusterRoleSelectors = [{ matchLabels: { [`rbac.authorization.k8s.io/aggregate-to-${name}`]: 'true' } }];
    objects.push({
      apiVersion,
      kind: 'ClusterRole',
      metadata: meta(name, {}, label(name)),
      aggregationRule: { clusterRoleSelectors },
      rules: [],
    });
  }
  for (const [name, subjects] of Object.entries(bindings))
    objects.push({
      apiVersion,
      kind: 'ClusterRoleBinding',
      metadata: meta(name),
      roleRef: roleRef('ClusterRole', name),
      ...(subjects.length > 0 ? { subjects: subjects.map(subject) } : {}),
    });
  for (const [account, lines] of Object.entries(controllers)) {
    const name = `system:controller:${account}`;
    objects.push({ apiVersion, kind: 'ClusterRole', metadata: meta(name), rules: lines.map(rule) });
    objects.push({
      apiVersion,
      kind: 'ClusterRoleBinding',
      metadata: meta(name),
      roleRef: roleRef('ClusterRole', name),
      subjects: [{ kind: 'ServiceAccount', name: account, namespace: 'kube-system' }],
    });
  }
  for (const [path, role] of Object.entries(roles)) {
    const [namespace, name] = path.split('/') as [string, string];
    objects.push({ apiVersion, kind: 'Role', metadata: meta(name, { namespace }), rules: role.rules.map(rule) });
    objects.push({
      apiVersion,
      kind: 'RoleBinding',
      metadata: meta(role.binding ?? name, { namespace }),
      roleRef: roleRef('Role', name),
      subjects: role.subjects.map(subject),
    });
  }
  return objects;
}
