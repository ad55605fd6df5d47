import { selectorMatches } from '@wherry/api';
import type { Attributes, Authorizer, UserInfo } from './contract.ts';
import type { RbacObject, RbacRule, RbacSource } from './rbac-source.ts';

interface Grant {
  readonly rule: RbacRule;
  /** What gave it, for the reason: `ClusterRoleBinding "x" of ClusterRole "y" to Group "z"`. */
  readonly source: string;
}

/** Grants by subject (`User:x`, `Group:x`), for the whole cluster and by namespace. */
interface Index {
  readonly generation: number;
  readonly cluster: ReadonlyMap<string, readonly Grant[]>;
  readonly namespaced: ReadonlyMap<string, ReadonlyMap<string, readonly Grant[]>>;
  /** Decisions taken under this index. */
  readonly decisions: Map<string, { allowed: boolean; reason: string }>;
}

const maxDecisions = 4096;
/** Longer ones (a path of kilobytes, many groups) are decided anew: anybody may send them. */
const longestKey = 512;

/** Role-based access control (rbac.authorization.k8s.io/v1). `system:masters` may do everything. */
export function createRbacAuthorizer(source: RbacSource): Authorizer {
  let index: Index | undefined;
  const current = (): Index => {
    const generation = source.generation();
    if (index === undefined || index.generation !== generation) index = buildIndex(source, generation);
    return index;
  };

  return {
    authorize(attributes) {
      if (attributes.user.groups.includes('system:masters')) return { allowed: true, reason: '' };
      const { decisions, cluster, namespaced } = current();
      const key = decisionKey(attributes);
      const known = decisions.get(key);
      if (known) return known;
      const decision = decide(attributes, cluster, namespaced);
      if (key.length > longestKey) return decision;
      if (decisions.size >= maxDecisions) decisions.clear();
      decisions.set(key, decision);
      return decision;
    },
    rulesFor(user, namespace) {
      const { cluster, namespaced } = current();
      const resourceRules = [];
      const nonResourceRules = [];
      if (user.groups.includes('system:masters')) {
        resourceRules.push({ verbs: ['*'], apiGroups: ['*'], resources: ['*'] });
        nonResourceRules.push({ verbs: ['*'], nonResourceURLs: ['*'] });
      }
      for (const { rule } of grantsOf(user, cluster, namespaced.get(namespace))) {
        if (rule.nonResourceURLs?.length)
          nonResourceRules.push({ verbs: rule.verbs, nonResourceURLs: rule.nonResourceURLs });
        if (rule.resources?.length)
          resourceRules.push({
            verbs: rule.verbs,
            apiGroups: rule.apiGroups ?? [],
            resources: rule.resources,
            ...(rule.resourceNames?.length ? { resourceNames: rule.resourceNames } : {}),
          });
      }
      return { resourceRules, nonResourceRules };
    },
  };
}

function decide(
  attributes: Attributes,
  cluster: Index['cluster'],
  namespaced: Index['namespaced'],
): { allowed: boolean; reason: string } {
  const inNamespace =
    attributes.resourceRequest && attributes.namespace !== '' ? namespaced.get(attributes.namespace) : undefined;
  for (const grant of grantsOf(attributes.user, cluster, inNamespace))
    if (ruleAllows(grant.rule, attributes)) return { allowed: true, reason: `RBAC: allowed by ${grant.source}` };
  return { allowed: false, reason: '' };
}

function decisionKey(a: Attributes): string {
  const where = a.resourceRequest ? `${a.group}|${a.resource}|${a.subresource}|${a.namespace}|${a.name}` : a.path;
  return `${a.user.username}|${a.user.groups.join(',')}|${a.verb}|${where}`;
}

function* grantsOf(
  user: UserInfo,
  cluster: ReadonlyMap<string, readonly Grant[]>,
  inNamespace: ReadonlyMap<string, readonly Grant[]> | undefined,
): Generator<Grant> {
  const subjects = [`User:${user.username}`, ...user.groups.map((group) => `Group:${group}`)];
  for (const grants of [cluster, inNamespace])
    if (grants) for (const subject of subjects) yield* grants.get(subject) ?? [];
}

/** Whether one rule covers a request; `*` stands for all, and a star before a slash for a subresource of anything. */
export function ruleAllows(rule: RbacRule, attributes: Attributes): boolean {
  if (!covers(rule.verbs, attributes.verb)) return false;
  if (!attributes.resourceRequest)
    return (rule.nonResourceURLs ?? []).some(
      (url) =>
        url === '*' || url === attributes.path || (url.endsWith('*') && attributes.path.startsWith(url.slice(0, -1))),
    );
  if (!rule.apiGroups || !covers(rule.apiGroups, attributes.group) || !rule.resources) return false;
  if (rule.resourceNames?.length && !rule.resourceNames.includes(attributes.name)) return false;
  const { resource, subresource } = attributes;
  const full = subresource === '' ? resource : `${resource}/${subresource}`;
  return rule.resources.some(
    (entry) => entry === '*' || entry === full || (subresource !== '' && entry === `*/${subresource}`),
  );
}

function covers(list: readonly string[], value: string): boolean {
  return list.includes('*') || list.includes(value);
}

function buildIndex(source: RbacSource, generation: number): Index {
  const clusterRoles = new Map(source.list('clusterroles').map((role) => [role.metadata?.name ?? '', role]));
  const roles = new Map(
    source.list('roles').map((role) => [`${role.metadata?.namespace}/${role.metadata?.name}`, role]),
  );
  const rulesOf = (namespace: string, ref: { kind: string; name: string }): readonly RbacRule[] => {
    if (ref.kind === 'Role') return roles.get(`${namespace}/${ref.name}`)?.rules ?? [];
    const role = clusterRoles.get(ref.name);
    return role ? withAggregated(role, clusterRoles) : [];
  };
  const cluster = new Map<string, Grant[]>();
  for (const binding of source.list('clusterrolebindings'))
    addGrants(
      cluster,
      binding,
      rulesOf('', binding.roleRef!),
      `ClusterRoleBinding ${JSON.stringify(binding.metadata?.name)}`,
    );
  const namespaced = new Map<string, Map<string, Grant[]>>();
  for (const binding of source.list('rolebindings')) {
    const namespace = binding.metadata?.namespace ?? '';
    const grants = namespaced.get(namespace) ?? new Map<string, Grant[]>();
    namespaced.set(namespace, grants);
    addGrants(
      grants,
      binding,
      rulesOf(namespace, binding.roleRef!),
      `RoleBinding ${JSON.stringify(`${namespace}/${binding.metadata?.name}`)}`,
    );
  }
  return { generation, cluster, namespaced, decisions: new Map() };
}

/** A role's own rules and those of the roles that its `aggregationRule` selects. */
export function withAggregated(
  role: RbacObject,
  all: ReadonlyMap<string, RbacObject>,
  seen = new Set<string>(),
): readonly RbacRule[] {
  const name = role.metadata?.name ?? '';
  if (seen.has(name)) return [];
  seen.add(name);
  const rules = [...(role.rules ?? [])];
  for (const selector of role.aggregationRule?.clusterRoleSelectors ?? []) {
    for (const other of all.values())
      if (other !== role && selectorMatches(selector, other.metadata?.labels))
        rules.push(...withAggregated(other, all, seen));
  }
  return rules;
}

function addGrants(into: Map<string, Grant[]>, binding: RbacObject, rules: readonly RbacRule[], what: string): void {
  for (const subject of binding.subjects ?? []) {
    const account = subject.kind === 'ServiceAccount';
    const key = account
      ? `User:system:serviceaccount:${subject.namespace ?? binding.metadata?.namespace}:${subject.name}`
      : `${subject.kind}:${subject.name}`;
    const grants = into.get(key) ?? [];
    into.set(key, grants);
    const source = `${what} of ${binding.roleRef!.kind} ${JSON.stringify(binding.roleRef!.name)} to ${subject.kind} ${JSON.stringify(account ? `${subject.name}/${subject.namespace}` : subject.name)}`;
    for (const rule of rules) grants.push({ rule, source });
  }
}
