import { generateKeyPairSync } from 'node:crypto';
import type { V1Pod } from '@wherry/api';
import { systemRandom, VirtualClock } from '@wherry/base';
import { describe, expect, it } from 'vitest';
import {
  type Attributes,
  bootstrapRbacObjects,
  createNodeAuthorizer,
  createRbacAuthorizer,
  createServiceAccountTokens,
  type RbacObject,
  type RbacResource,
} from './index.ts';

const bootstrap = bootstrapRbacObjects();

function authorizer(extra: (RbacObject & { kind: string })[] = []) {
  const all = [...bootstrap, ...extra] as (RbacObject & { kind: string })[];
  return createRbacAuthorizer({
    list: (resource: RbacResource) => all.filter((object) => `${object.kind.toLowerCase()}s` === resource),
    generation: () => 1,
  });
}

function request(
  user: string,
  groups: string[],
  verb: string,
  resource: string,
  over: Partial<Attributes> = {},
): Attributes {
  return {
    user: { username: user, groups },
    verb,
    resourceRequest: true,
    group: '',
    version: 'v1',
    resource,
    subresource: '',
    namespace: 'default',
    name: '',
    ...over,
  } as Attributes;
}

describe('RBAC', () => {
  it('lets system:masters do everything and strangers nothing', () => {
    const rbac = authorizer();
    expect(rbac.authorize(request('admin', ['system:masters'], 'delete', 'nodes')).allowed).toBe(true);
    expect(rbac.authorize(request('bob', ['system:authenticated'], 'list', 'pods')).allowed).toBe(false);
  });

  it('grants a bound view role in its namespace only, without secrets', () => {
    const rbac = authorizer([
      {
        kind: 'RoleBinding',
        metadata: { name: 'v', namespace: 'default' },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' },
        subjects: [{ kind: 'User', name: 'bob', apiGroup: 'rbac.authorization.k8s.io' }],
      },
    ]);
    const allowed = rbac.authorize(request('bob', [], 'list', 'pods'));
    expect(allowed).toEqual({
      allowed: true,
      reason: 'RBAC: allowed by RoleBinding "default/v" of ClusterRole "view" to User "bob"',
    });
    expect(rbac.authorize(request('bob', [], 'list', 'pods', { namespace: 'other' })).allowed).toBe(false);
    expect(rbac.authorize(request('bob', [], 'list', 'secrets')).allowed).toBe(false);
    expect(rbac.authorize(request('bob', [], 'create', 'pods')).allowed).toBe(false);
  });

  it('binds service accounts by their user name and honours resource names', () => {
    const rbac = authorizer([
      {
        kind: 'Role',
        metadata: { name: 'one', namespace: 'a' },
        rules: [{ apiGroups: [''], resources: ['configmaps'], resourceNames: ['x'], verbs: ['get'] }],
      },
      {
        kind: 'RoleBinding',
        metadata: { name: 'one', namespace: 'a' },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'one' },
        subjects: [{ kind: 'ServiceAccount', name: 'sa' }],
      },
    ]);
    const get = (name: string) =>
      rbac.authorize(request('system:serviceaccount:a:sa', [], 'get', 'configmaps', { namespace: 'a', name })).allowed;
    expect(get('x')).toBe(true);
    expect(get('y')).toBe(false);
  });

  it('lets anybody see the version but not the metrics', () => {
    const rbac = authorizer();
    const path = (where: string): boolean =>
      rbac.authorize({
        user: { username: 'x', groups: ['system:unauthenticated'] },
        verb: 'get',
        resourceRequest: false,
        path: where,
      }).allowed;
    expect(path('/version')).toBe(true);
    expect(path('/metrics')).toBe(false);
  });
});

describe('Node authorization', () => {
  const pod: V1Pod = {
    metadata: { name: 'p', namespace: 'default' },
    spec: { nodeName: 'n1', containers: [{ name: 'c', envFrom: [{ secretRef: { name: 's' } }] }] },
  };
  const authorize = createNodeAuthorizer({
    nodeRules: () => (bootstrap.find((o) => o.metadata?.name === 'system:node') as RbacObject).rules ?? [],
    podsIn: () => [pod],
  });
  const ask = (node: string, resource: string, name: string, verb = 'get') =>
    authorize(request(`system:node:${node}`, ['system:nodes'], verb, resource, { name })).allowed;

  it('shows a node the secrets of its own pods only', () => {
    expect(ask('n1', 'secrets', 's')).toBe(true);
    expect(ask('n1', 'secrets', 'other')).toBe(false);
    expect(ask('n2', 'secrets', 's')).toBe(false);
    expect(ask('n1', 'secrets', '', 'list')).toBe(false);
  });

  it('takes only node users', () => {
    expect(authorize(request('bob', ['system:nodes'], 'get', 'services')).allowed).toBe(false);
    expect(ask('n1', 'services', 'x')).toBe(true);
    expect(ask('n1', 'deployments', 'x')).toBe(false);
  });
});

describe('service-account tokens', () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const signingKey = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  const objects = new Map([
    ['serviceaccounts/a/sa', 'u1'],
    ['pods/a/p', 'u2'],
  ]);
  const clock = new VirtualClock();
  const tokens = createServiceAccountTokens({
    signingKey,
    issuer: 'https://kubernetes.default.svc.cluster.local',
    apiAudiences: ['https://kubernetes.default.svc.cluster.local'],
    lookup: (resource, namespace, name) => {
      const uid = objects.get(`${resource}/${namespace}/${name}`);
      return uid === undefined ? undefined : { uid };
    },
    clock,
    random: systemRandom,
  });
  const issue = () =>
    tokens.issue({
      namespace: 'a',
      name: 'sa',
      uid: 'u1',
      audiences: [],
      expirationSeconds: 600,
      boundObject: { kind: 'Pod', apiVersion: 'v1', name: 'p', uid: 'u2' },
    });

  it('verifies what it issued, until it expires or what it is bound to is gone', async () => {
    const { token } = await issue();
    expect(tokens.verify(token)).toMatchObject({ user: { username: 'system:serviceaccount:a:sa', uid: 'u1' } });
    expect(tokens.verify(token, ['other'])).toHaveProperty('error');
    objects.delete('pods/a/p');
    expect(tokens.verify(token)).toEqual({ error: 'pod a/p has been deleted' });
    objects.set('pods/a/p', 'u2');
    await clock.advance(601_000);
    expect(tokens.verify(token)).toEqual({ error: 'service account token has expired' });
  });

  it('refuses a token with a changed body, another algorithm, or no sense', async () => {
    const { token } = await issue();
    const [head, body, signature] = token.split('.') as [string, string, string];
    const forged = Buffer.from(
      JSON.stringify({ ...JSON.parse(Buffer.from(body, 'base64url').toString()), sub: 'system:admin' }),
    ).toString('base64url');
    const none = Buffer.from('{"alg":"none"}').toString('base64url');
    for (const bad of [`${head}.${forged}.${signature}`, `${none}.${body}.`, 'x', 'a.b.c', ''])
      expect(tokens.verify(bad)).toEqual({ error: 'invalid bearer token' });
  });
});
