import type { ApiObject, V1Role } from '@wherry/api';
import { statusOf } from '@wherry/api';
import {
  type ApiServer,
  bootstrapRbacObjects,
  type CacheReader,
  createRbacAuthorizer,
  type RbacObject,
  type RbacResource,
  type UserInfo,
} from '@wherry/apiserver';
import { resources } from '@wherry/client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { admin, startServer } from './cluster.ts';

const group = 'rbac.authorization.k8s.io';
const names: readonly RbacResource[] = ['roles', 'rolebindings', 'clusterroles', 'clusterrolebindings'];
let server: ApiServer;

const authorizer = (reader: CacheReader) =>
  createRbacAuthorizer({
    list: (resource) => reader.list({ group, resource }, '') as readonly RbacObject[],
    generation: () => names.reduce((sum, resource) => sum + reader.generation({ group, resource }), 0),
  });

beforeEach(async () => {
  server = await startServer({ authorizer, bootstrapObjects: bootstrapRbacObjects() as readonly ApiObject[] });
  // Someone who may write roles and bindings in one namespace, and read pods there.
  await server.client(admin).create(
    resources.roles,
    role('author', [
      { apiGroups: [group], resources: ['roles', 'rolebindings'], verbs: ['create'] },
      { apiGroups: [group], resources: ['roles', 'rolebindings'], verbs: ['get', 'update', 'patch', 'delete'] },
      { apiGroups: [''], resources: ['pods', 'pods/log'], verbs: ['get', 'list'] },
    ]),
  );
  await server.client(admin).create(resources.roleBindings, binding('author', 'Role', 'author', 'mallory'));
});

afterEach(async () => {
  await server[Symbol.asyncDispose]();
});

const mallory: UserInfo = { username: 'mallory', groups: ['system:authenticated'] };

function role(name: string, rules: readonly object[], namespace = 'default'): never {
  return { apiVersion: `${group}/v1`, kind: 'Role', metadata: { name, namespace }, rules } as never;
}

function binding(name: string, kind: string, of: string, user: string): never {
  return {
    apiVersion: `${group}/v1`,
    kind: 'RoleBinding',
    metadata: { name, namespace: 'default' },
    roleRef: { apiGroup: group, kind, name: of },
    subjects: [{ apiGroup: group, kind: 'User', name: user }],
  } as never;
}

async function refusal(work: Promise<unknown>): Promise<string> {
  const status = await work.then(() => undefined, statusOf);
  return `${status?.code} ${status?.message}`;
}

test('a role takes rules that its author holds, and no others', async () => {
  const client = server.client(mallory);
  await client.create(resources.roles, role('fine', [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }]));
  const text = await refusal(
    client.create(resources.roles, role('bad', [{ apiGroups: [''], resources: ['secrets'], verbs: ['get', 'list'] }])),
  );
  expect(text).toBe(
    '403 roles.rbac.authorization.k8s.io "bad" is forbidden: user "mallory" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}',
  );
  expect(
    await refusal(client.create(resources.roles, role('all', [{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }]))),
  ).toMatch(/^403 /);
});

test('an update that adds rules is refused, one that keeps them is not', async () => {
  const client = server.client(mallory);
  const own = (await client.get(resources.roles, { namespace: 'default', name: 'author' })) as V1Role;
  await client.update(resources.roles, { ...own, metadata: { ...own.metadata, labels: { a: 'b' } } } as never);
  const wider = [...(own.rules ?? []), { apiGroups: [''], resources: ['pods/exec'], verbs: ['create'] }];
  const { resourceVersion: _, ...metadata } = own.metadata!;
  expect(await refusal(client.update(resources.roles, { ...own, metadata, rules: wider } as never))).toMatch(/^403 /);
});

test('a binding takes the rules of its role, or the verb bind on it', async () => {
  const client = server.client(mallory);
  expect(
    await refusal(client.create(resources.roleBindings, binding('b', 'ClusterRole', 'cluster-admin', 'mallory'))),
  ).toMatch(/^403 .*not currently held/);
  expect(await refusal(client.create(resources.roleBindings, binding('b', 'ClusterRole', 'edit', 'mallory')))).toMatch(
    /^403 /,
  );
  expect(await refusal(client.create(resources.roleBindings, binding('b', 'Role', 'nowhere', 'mallory')))).toMatch(
    /^404 /,
  );
  await client.create(resources.roleBindings, binding('b', 'Role', 'author', 'eve'));
  const may = [{ apiGroups: [group], resources: ['clusterroles'], resourceNames: ['view'], verbs: ['bind'] }];
  await server.client(admin).create(resources.roles, role('binder', may));
  await server.client(admin).create(resources.roleBindings, binding('binder', 'Role', 'binder', 'mallory'));
  await client.create(resources.roleBindings, binding('viewer', 'ClusterRole', 'view', 'eve'));
  expect(await refusal(client.create(resources.roleBindings, binding('admin', 'ClusterRole', 'admin', 'eve')))).toMatch(
    /^403 /,
  );
});

test('the verb escalate lifts the limit on roles', async () => {
  const may = [{ apiGroups: [group], resources: ['roles'], verbs: ['escalate'] }];
  await server.client(admin).create(resources.roles, role('free', may));
  await server.client(admin).create(resources.roleBindings, binding('free', 'Role', 'free', 'mallory'));
  const rules = [{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }];
  await server.client(mallory).create(resources.roles, role('wide', rules));
});

test('server-side apply and patches go the same way', async () => {
  const client = server.client(mallory);
  const patch = { rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['*'] }] };
  const key = { namespace: 'default', name: 'author' };
  expect(await refusal(client.patch(resources.roles, key, 'merge', patch))).toMatch(/^403 /);
});
