import type { ApiObject, V1PolicyRule, V1RoleRef } from '@wherry/api';
import { notFoundError } from '@wherry/api';
import type { Authorizer, UserInfo } from '../auth/contract.ts';
import { withAggregated } from '../auth/rbac-authorizer.ts';
import type { RbacObject } from '../auth/rbac-source.ts';
import { compactRules, uncovered } from '../auth/rule-coverage.ts';
import { equalJson } from '../registry/json.ts';
import type { AdmissionPlugin, AdmissionReader, AdmissionRequest } from './contract.ts';
import { refuse } from './refuse.ts';

const group = 'rbac.authorization.k8s.io';

interface Role extends ApiObject {
  readonly rules?: readonly V1PolicyRule[];
  readonly aggregationRule?: unknown;
}

interface Binding extends ApiObject {
  readonly roleRef?: V1RoleRef;
}

/** What somebody must hold who lets roles collect the rules of others: all there is. */
const everything: readonly V1PolicyRule[] = [
  { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
  { verbs: ['*'], nonResourceURLs: ['*'] },
];

/**
 * Nobody grants what he does not hold (kubernetes.io/docs/reference/access-authn-authz/rbac, "Privilege
 * escalation prevention and bootstrapping"): writing a role takes its rules or the verb `escalate` on it,
 * writing a binding takes the rules of the role that it names or the verb `bind` on that role.
 */
export function privilegeEscalation(authorizer: Authorizer): AdmissionPlugin {
  return {
    name: 'PrivilegeEscalation',
    validate(request, reader) {
      const { kind, object, operation, user } = request;
      if (kind.group !== group || object === undefined || request.subresource !== '') return;
      if (operation !== 'CREATE' && operation !== 'UPDATE') return;
      if (user.groups.includes('system:masters') || onlyReleases(object, request.oldObject)) return;
      if (kind.resource === 'roles' || kind.resource === 'clusterroles') checkRole(authorizer, request, object);
      else checkBinding(authorizer, request, object, reader);
    },
  };
}

function checkRole(authorizer: Authorizer, request: AdmissionRequest, role: Role): void {
  const old = request.oldObject as Role | undefined;
  const rulesKept = old !== undefined && equalJson(old.rules ?? [], role.rules ?? []);
  const aggregationKept = equalJson(old?.aggregationRule ?? null, role.aggregationRule ?? null);
  if (rulesKept && aggregationKept) return;
  if (may(authorizer, request, 'escalate', request.kind.resource, nameOf(request), request.namespace)) return;
  const collects = role.aggregationRule !== undefined && role.aggregationRule !== null;
  if (collects && missing(authorizer, request, everything).length > 0) {
    throw refuse(request, 'must have cluster-admin privileges to use the aggregationRule');
  }
  confirm(authorizer, request, role.rules ?? []);
}

function checkBinding(
  authorizer: Authorizer,
  request: AdmissionRequest,
  { roleRef }: Binding,
  reader: AdmissionReader,
): void {
  if (roleRef === undefined) return;
  const resource = roleRef.kind === 'ClusterRole' ? 'clusterroles' : 'roles';
  if (may(authorizer, request, 'bind', resource, roleRef.name, request.namespace)) return;
  const of = { group, resource };
  const role = reader.get(of, resource === 'roles' ? request.namespace : '', roleRef.name) as Role | undefined;
  if (role === undefined) throw notFoundError(of, roleRef.name);
  confirm(authorizer, request, resource === 'roles' ? (role.rules ?? []) : collected(role as RbacObject, reader));
}

/** Rules that a role collects count before its controller has written them down. */
function collected(role: RbacObject, reader: AdmissionReader): readonly V1PolicyRule[] {
  if (!role.aggregationRule) return role.rules ?? [];
  const all = reader.list({ group, resource: 'clusterroles' }, '') as readonly RbacObject[];
  return withAggregated(role, new Map(all.map((one) => [one.metadata?.name ?? '', one])));
}

function confirm(authorizer: Authorizer, request: AdmissionRequest, rules: readonly V1PolicyRule[]): void {
  const lacking = missing(authorizer, request, rules);
  if (lacking.length === 0) return;
  const { username, groups } = request.user;
  const who = `user ${JSON.stringify(username)} (groups=${JSON.stringify(groups).replaceAll('","', '" "')})`;
  const lines = compactRules(lacking).join('\n');
  throw refuse(request, `${who} is attempting to grant RBAC permissions not currently held:\n${lines}`);
}

function missing(authorizer: Authorizer, request: AdmissionRequest, rules: readonly V1PolicyRule[]): V1PolicyRule[] {
  const { resourceRules, nonResourceRules } = authorizer.rulesFor(request.user, request.namespace);
  return uncovered([...resourceRules, ...nonResourceRules] as V1PolicyRule[], rules);
}

function may(
  authorizer: Authorizer,
  { user }: { readonly user: UserInfo },
  verb: string,
  resource: string,
  name: string,
  namespace: string,
): boolean {
  const asked = { user, verb, resourceRequest: true, group, version: 'v1', resource, subresource: '', namespace, name };
  return authorizer.authorize(asked as Parameters<Authorizer['authorize']>[0]).allowed;
}

function nameOf(request: AdmissionRequest): string {
  return request.name || (request.object?.metadata?.name ?? '');
}

/** Whether an update takes away owners or finalizers and nothing else: the garbage collector's work. */
function onlyReleases(object: ApiObject, old: ApiObject | undefined): boolean {
  if (old === undefined) return false;
  const rest = ({ metadata, ...more }: ApiObject): unknown => {
    const { ownerReferences: _o, finalizers: _f, managedFields: _m, resourceVersion: _r, ...kept } = metadata ?? {};
    return { ...more, metadata: kept };
  };
  return equalJson(rest(object), rest(old));
}
