import type { KindDeclaration, Verb } from '../kind.ts';

type Json = Record<string, unknown>;

const allVerbs: readonly Verb[] = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];
const subresourceVerbs = ['get', 'patch', 'update'];

/** The order in which the groups are offered, which decides between resources of one name. */
const groupOrder = [
  'apiregistration.k8s.io',
  'apps',
  'events.k8s.io',
  'authentication.k8s.io',
  'authorization.k8s.io',
  'autoscaling',
  'batch',
  'certificates.k8s.io',
  'networking.k8s.io',
  'policy',
  'rbac.authorization.k8s.io',
  'storage.k8s.io',
  'admissionregistration.k8s.io',
  'apiextensions.k8s.io',
  'scheduling.k8s.io',
  'coordination.k8s.io',
  'node.k8s.io',
  'discovery.k8s.io',
  'resource.k8s.io',
  'flowcontrol.apiserver.k8s.io',
];

function groupRank(group: string): number {
  const at = groupOrder.indexOf(group);
  return at < 0 ? groupOrder.length : at;
}

/** `v2` before `v1`, both before `v2beta1`, that before anything else (apimachinery `version.CompareKubeAwareVersionStrings`). */
export function compareVersions(a: string, b: string): number {
  const rank = (version: string): readonly number[] => {
    const m = /^v([0-9]{1,9})(?:(alpha|beta)([0-9]{1,9}))?$/.exec(version);
    if (!m) return [0, 0, 0];
    return [m[2] === undefined ? 3 : m[2] === 'beta' ? 2 : 1, Number(m[1]), Number(m[3] ?? 0)];
  };
  const left = rank(a);
  const right = rank(b);
  for (let i = 0; i < 3; i++) if (left[i] !== right[i]) return right[i]! - left[i]!;
  return a < b ? -1 : a > b ? 1 : 0;
}

interface Group {
  readonly name: string;
  readonly versions: readonly { readonly version: string; readonly kinds: readonly KindDeclaration[] }[];
}

/** Declarations by group and version, both in the order of preference; the core group is left to the caller. */
function groups(kinds: readonly KindDeclaration[]): readonly Group[] {
  const byName = new Map<string, Map<string, KindDeclaration[]>>();
  for (const kind of kinds) {
    const versions = byName.get(kind.group) ?? new Map<string, KindDeclaration[]>();
    byName.set(kind.group, versions);
    const list = versions.get(kind.version);
    if (list) list.push(kind);
    else versions.set(kind.version, [kind]);
  }
  const byResource = (a: KindDeclaration, b: KindDeclaration): number => (a.resource < b.resource ? -1 : 1);
  return [...byName]
    .map(([name, versions]) => ({
      name,
      versions: [...versions]
        .sort(([a], [b]) => compareVersions(a, b))
        .map(([version, list]) => ({ version, kinds: list.sort(byResource) })),
    }))
    .sort((a, b) => groupRank(a.name) - groupRank(b.name) || (a.name < b.name ? -1 : 1));
}

interface Subresource {
  readonly name: string;
  readonly kind: string;
  readonly group: string;
  readonly version: string;
  readonly verbs: readonly string[];
}

/** The subresources of a kind in order, `status` and `scale` included. */
export function subresourcesOf(kind: KindDeclaration): readonly Subresource[] {
  const found: Subresource[] = (kind.subresources?.others ?? []).map((s) => ({
    name: s.name,
    kind: s.kind,
    group: s.group ?? kind.group,
    version: s.version ?? kind.version,
    verbs: s.verbs,
  }));
  if (kind.subresources?.status) {
    found.push({ name: 'status', kind: kind.kind, group: kind.group, version: kind.version, verbs: subresourceVerbs });
  }
  if (kind.subresources?.scale) {
    found.push({ name: 'scale', kind: 'Scale', group: 'autoscaling', version: 'v1', verbs: subresourceVerbs });
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function verbsOf(kind: KindDeclaration): readonly string[] {
  return [...(kind.verbs ?? allVerbs)].sort();
}

/** Clients fill an empty group and version in from the document's own. */
function responseKind(of: { kind: string; group: string; version: string }, home: KindDeclaration): Json {
  const same = of.group === home.group && of.version === home.version;
  return { group: same ? '' : of.group, version: same ? '' : of.version, kind: of.kind };
}

function aggregatedResource(kind: KindDeclaration): Json {
  const subresources = subresourcesOf(kind);
  return {
    resource: kind.resource,
    responseKind: responseKind(kind, kind),
    scope: kind.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: kind.singular,
    verbs: verbsOf(kind),
    ...(kind.shortNames?.length ? { shortNames: kind.shortNames } : {}),
    ...(kind.categories?.length ? { categories: kind.categories } : {}),
    ...(subresources.length > 0
      ? {
          subresources: subresources.map((s) => ({
            subresource: s.name,
            responseKind: responseKind(s, kind),
            verbs: [...s.verbs].sort(),
          })),
        }
      : {}),
  };
}

function aggregated(list: readonly Group[]): Json {
  return {
    kind: 'APIGroupDiscoveryList',
    apiVersion: 'apidiscovery.k8s.io/v2',
    metadata: {},
    items: list.map((group) => ({
      metadata: group.name === '' ? {} : { name: group.name },
      versions: group.versions.map(({ version, kinds }) => ({
        version,
        resources: kinds.map(aggregatedResource),
        freshness: 'Current',
      })),
    })),
  };
}

/** `/api` as `application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList` (KEP-3352). */
export function aggregatedCoreDiscovery(kinds: readonly KindDeclaration[]): Json {
  return aggregated(groups(kinds.filter((k) => k.group === '')));
}

/** `/apis` in the same form. */
export function aggregatedGroupDiscovery(kinds: readonly KindDeclaration[]): Json {
  return aggregated(groups(kinds.filter((k) => k.group !== '')));
}

/** `/api`: the versions of the core group. `serverAddress` is `host:port`. */
export function coreVersions(kinds: readonly KindDeclaration[], serverAddress: string): Json {
  const core = groups(kinds.filter((k) => k.group === ''))[0];
  return {
    kind: 'APIVersions',
    versions: core?.versions.map((v) => v.version) ?? [],
    serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress }],
  };
}

function groupObject(group: Group): Json {
  const versions = group.versions.map(({ version }) => ({ groupVersion: `${group.name}/${version}`, version }));
  return { name: group.name, versions, preferredVersion: versions[0] };
}

/** `/apis`: all groups but core. */
export function groupList(kinds: readonly KindDeclaration[]): Json {
  const named = groups(kinds.filter((k) => k.group !== ''));
  return { kind: 'APIGroupList', apiVersion: 'v1', groups: named.map(groupObject) };
}

/** `/apis/GROUP`, or `undefined` when there is none. */
export function groupDocument(kinds: readonly KindDeclaration[], name: string): Json | undefined {
  const group = name === '' ? undefined : groups(kinds.filter((k) => k.group === name))[0];
  return group && { kind: 'APIGroup', apiVersion: 'v1', ...groupObject(group) };
}

/** `/api/v1` and `/apis/GROUP/VERSION`, or `undefined` when there is none. */
export function resourceList(kinds: readonly KindDeclaration[], group: string, version: string): Json | undefined {
  const found = groups(kinds.filter((k) => k.group === group && k.version === version))[0]?.versions[0];
  if (!found) return undefined;
  const resources = found.kinds.flatMap((kind) => [
    {
      name: kind.resource,
      singularName: kind.singular,
      namespaced: kind.namespaced,
      kind: kind.kind,
      verbs: verbsOf(kind),
      ...(kind.shortNames?.length ? { shortNames: kind.shortNames } : {}),
      ...(kind.categories?.length ? { categories: kind.categories } : {}),
    },
    ...subresourcesOf(kind).map((s) => ({
      name: `${kind.resource}/${s.name}`,
      singularName: '',
      namespaced: kind.namespaced,
      ...(s.group === kind.group && s.version === kind.version ? {} : { group: s.group, version: s.version }),
      kind: s.kind,
      verbs: [...s.verbs].sort(),
    })),
  ]);
  const groupVersion = group === '' ? version : `${group}/${version}`;
  return { kind: 'APIResourceList', ...(group === '' ? {} : { apiVersion: 'v1' }), groupVersion, resources };
}
