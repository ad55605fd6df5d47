import { gunzipSync } from 'node:zlib';
import type { ApiServer } from '@wherry/apiserver';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { configMap, startServer } from './cluster.ts';
import { type HttpsClient, httpsClient } from './https-client.ts';

let server: ApiServer;
let api: HttpsClient;
const maps = '/api/v1/namespaces/default/configmaps';

beforeEach(async () => {
  server = await startServer();
  await server.listen({ host: '127.0.0.1', port: 0 });
  api = httpsClient(server);
});

afterEach(async () => {
  api.close();
  await server[Symbol.asyncDispose]();
});

async function fill(count: number): Promise<void> {
  for (let index = 0; index < count; index++) {
    await api.post(maps, {
      ...configMap(`cm-${index}`),
      metadata: { name: `cm-${index}`, labels: { n: String(index % 2) } },
    });
  }
}

describe('who and whether', () => {
  test('an anonymous request and one without rights are refused in upstream’s words', async () => {
    expect((await api.get('/api/v1/pods', { token: '' })).json).toMatchObject({
      code: 403,
      reason: 'Forbidden',
      message:
        'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" at the cluster scope',
      details: { kind: 'pods' },
    });
    const denied = await api.post(maps, configMap('a'), { token: 'reader' });
    expect(denied.json.message).toBe(
      'configmaps is forbidden: User "reader" cannot create resource "configmaps" in API group "" in the namespace "default"',
    );
    expect((await api.get('/nothing', { token: 'nobody' })).json.message).toBe(
      'forbidden: User "nobody" cannot get path "/nothing"',
    );
  });

  test('impersonation acts as the other user, and only for those who may', async () => {
    const as = (token: string) => api.get(maps, { token, headers: { 'impersonate-user': 'mallory' } });
    expect((await as('admin')).json.message).toContain('User "mallory" cannot list resource "configmaps"');
    expect((await as('reader')).json.message).toBe(
      'users "mallory" is forbidden: User "reader" cannot impersonate resource "users" in API group "" at the cluster scope',
    );
  });
});

describe('bodies', () => {
  test('unknown fields are refused, warned of or dropped', async () => {
    const body = { ...configMap('a'), foo: 1 };
    const strict = await api.post(`${maps}?fieldValidation=Strict`, body);
    expect(strict.json).toMatchObject({
      code: 400,
      reason: 'BadRequest',
      message: 'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "foo"',
    });
    const warned = await api.post(maps, body);
    expect(warned.code).toBe(201);
    expect(warned.headers.warning).toBe('299 - "unknown field \\"foo\\""');
    expect(warned.json.foo).toBeUndefined();
  });

  test('YAML is read; what is no object, another kind, another namespace or too large is refused', async () => {
    const yaml = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: yes-map}\ndata: {a: "1"}\n';
    expect((await api.post(maps, yaml, { type: 'application/yaml' })).json.data).toEqual({ a: '1' });
    expect((await api.post(maps, '{', {})).code).toBe(400);
    expect((await api.post(maps, '[]', {})).code).toBe(400);
    expect((await api.post(maps, { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'x' } })).code).toBe(400);
    expect((await api.post(maps, configMap('a', {}, 'other'))).json.message).toBe(
      'the namespace of the provided object does not match the namespace sent on the request',
    );
    expect((await api.post(maps, 'x', { type: 'text/plain' })).json).toMatchObject({
      code: 415,
      reason: 'UnsupportedMediaType',
    });
    const large = await api.post(maps, configMap('big', { x: 'x'.repeat(3 * 1024 * 1024) }));
    expect(large.json).toMatchObject({ code: 413, reason: 'RequestEntityTooLarge' });
    expect((await api.get(maps, { accept: 'application/xml' })).json).toMatchObject({
      code: 406,
      reason: 'NotAcceptable',
    });
  });

  test('an object above the limit of the store is refused by name', async () => {
    const secret = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'wide', annotations: {} },
      data: { a: 'x'.repeat(800_000) },
      binaryData: { b: Buffer.alloc(600_000).toString('base64') },
    };
    const answer = await api.post(maps, secret);
    expect([413, 422]).toContain(answer.code);
    expect(answer.json.message).toContain('"wide"');
  });

  test('protobuf is not answered, but JSON is, where the client reads both', async () => {
    const answer = await api.get(maps, { accept: 'application/vnd.kubernetes.protobuf,application/json' });
    expect(answer.headers['content-type']).toBe('application/json');
    expect((await api.get(maps, { accept: 'application/vnd.kubernetes.protobuf' })).code).toBe(406);
  });
});

describe('lists', () => {
  test('pages are consistent at the first page’s version', async () => {
    await fill(5);
    const first = (await api.get(`${maps}?limit=2`)).json;
    expect(first.metadata.remainingItemCount).toBe(3);
    await api.delete(`${maps}/cm-3`);
    const second = (await api.get(`${maps}?limit=2&continue=${first.metadata.continue}`)).json;
    const third = (await api.get(`${maps}?limit=2&continue=${second.metadata.continue}`)).json;
    const names = [first, second, third].flatMap((page) =>
      page.items.map((item: { metadata: { name: string } }) => item.metadata.name),
    );
    expect(names).toEqual(['cm-0', 'cm-1', 'cm-2', 'cm-3', 'cm-4']);
    expect(third.metadata.continue).toBeUndefined();
    expect(third.metadata.resourceVersion).toBe(first.metadata.resourceVersion);
    expect((await api.get(`${maps}?continue=nonsense`)).code).toBe(400);
  });

  test('selectors choose, and unknown fields are named', async () => {
    await fill(4);
    expect((await api.get(`${maps}?labelSelector=n%3D1`)).json.items).toHaveLength(2);
    expect((await api.get(`${maps}?fieldSelector=metadata.name%3Dcm-2`)).json.items).toHaveLength(1);
    expect((await api.get(`${maps}?fieldSelector=spec.x%3D1`)).json.message).toBe(
      '"spec.x" is not a known field selector: only "metadata.name", "metadata.namespace"',
    );
  });

  test('an exact old version is read from history', async () => {
    await fill(2);
    const { resourceVersion } = (await api.get(maps)).json.metadata;
    await api.delete(`${maps}/cm-0`);
    const old = await api.get(`${maps}?resourceVersion=${resourceVersion}&resourceVersionMatch=Exact`);
    expect(old.json.items).toHaveLength(2);
    expect((await api.get(maps)).json.items).toHaveLength(1);
  });

  test('tables have a row an object, metadata lists only metadata', async () => {
    await fill(1);
    const table = (await api.get(maps, { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json' }))
      .json;
    expect(table).toMatchObject({ kind: 'Table', apiVersion: 'meta.k8s.io/v1' });
    expect(table.columnDefinitions.map((c: { name: string }) => c.name)).toEqual(['Name', 'Data', 'Age']);
    expect(table.rows[0]).toMatchObject({
      cells: ['cm-0', 0, expect.any(String)],
      object: { kind: 'PartialObjectMetadata' },
    });
    const partial = (
      await api.get(maps, { accept: 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io' })
    ).json;
    expect(partial).toMatchObject({
      kind: 'PartialObjectMetadataList',
      items: [{ kind: 'PartialObjectMetadata', metadata: { name: 'cm-0' } }],
    });
    expect(partial.items[0].data).toBeUndefined();
  });

  test('large lists are compressed for those who ask', async () => {
    await api.post(maps, configMap('big', { x: 'x'.repeat(300_000) }));
    const { port } = server.address!;
    const { request } = await import('node:https');
    const body = await new Promise<Buffer>((resolve, reject) => {
      const headers = { authorization: 'Bearer admin', 'accept-encoding': 'gzip' };
      request({ host: '127.0.0.1', port, path: maps, headers, rejectUnauthorized: false }, (answer) => {
        expect(answer.headers['content-encoding']).toBe('gzip');
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('end', () => resolve(Buffer.concat(chunks)));
      })
        .on('error', reject)
        .end();
    });
    expect(body.length).toBeLessThan(10_000);
    expect(JSON.parse(gunzipSync(body).toString()).items[0].data.x).toHaveLength(300_000);
  });
});

describe('watches', () => {
  test('deliver what happened after a version, and say when it is too old', async () => {
    await fill(1);
    const { resourceVersion } = (await api.get(maps)).json.metadata;
    await api.patch(`${maps}/cm-0`, 'application/merge-patch+json', { data: { a: '1' } });
    await api.delete(`${maps}/cm-0`);
    const { events } = api.watch(`${maps}?watch=1&resourceVersion=${resourceVersion}`, 2);
    expect((await events).map((event) => [event.type, event.object.data?.a])).toEqual([
      ['MODIFIED', '1'],
      ['DELETED', '1'],
    ]);
  });

  test('begin with the state and a bookmark when asked for a streamed list', async () => {
    await fill(2);
    const path = `${maps}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true`;
    const events = await api.watch(path, 3).events;
    expect(events.map((event) => event.type)).toEqual(['ADDED', 'ADDED', 'BOOKMARK']);
    expect(events[2].object.metadata.annotations).toEqual({ 'k8s.io/initial-events-end': 'true' });
    expect((await api.get(`${maps}?watch=1&sendInitialEvents=true`)).json).toMatchObject({ code: 422 });
  });

  test('follow in table form', async () => {
    const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io';
    await fill(2);
    const events = await api.watch(`${maps}?watch=1`, 2, { accept }).events;
    expect(events[0].object.columnDefinitions).toHaveLength(3);
    expect(events[1].object.columnDefinitions).toBeNull();
    expect(events[1].object.rows[0].cells[0]).toBe('cm-1');
  });

  test('end after their time', async () => {
    expect((await api.get(`${maps}?watch=1&resourceVersion=0&timeoutSeconds=1`)).code).toBe(200);
  });
});

describe('writes', () => {
  test('all patch types', async () => {
    await api.post(maps, configMap('a', { x: '1', y: '2' }));
    const path = `${maps}/a`;
    const patched = async (type: string, body: unknown) => (await api.patch(path, type, body)).json.data;
    expect(await patched('application/merge-patch+json', { data: { x: null } })).toEqual({ y: '2' });
    expect(await patched('application/strategic-merge-patch+json', { data: { z: '3' } })).toEqual({ y: '2', z: '3' });
    expect(await patched('application/json-patch+json', [{ op: 'remove', path: '/data/y' }])).toEqual({ z: '3' });
    expect((await api.patch(path, 'application/json', {})).code).toBe(415);
  });

  test('server-side apply creates, merges and reports conflicts', async () => {
    const apply = (manager: string, data: Record<string, string>, force = false) =>
      api.patch(
        `${maps}/s?fieldManager=${manager}&force=${force}`,
        'application/apply-patch+yaml',
        configMap('s', data),
      );
    expect((await apply('one', { a: '1' })).code).toBe(201);
    expect((await apply('two', { b: '2' })).json.data).toEqual({ a: '1', b: '2' });
    const conflict = await apply('two', { a: '2', b: '2' });
    expect(conflict.json).toMatchObject({
      code: 409,
      reason: 'Conflict',
      details: { causes: [{ reason: 'FieldManagerConflict', field: '.data.a' }] },
    });
    expect((await apply('two', { a: '2' }, true)).json.data).toEqual({ a: '2' });
  });

  test('a patch that names no version survives concurrent writers', async () => {
    await api.post(maps, configMap('busy'));
    const writes = Array.from({ length: 20 }, (_, index) =>
      api.patch(`${maps}/busy`, 'application/merge-patch+json', { data: { [`k${index}`]: 'v' } }),
    );
    expect((await Promise.all(writes)).every((answer) => answer.code === 200)).toBe(true);
    expect(Object.keys((await api.get(`${maps}/busy`)).json.data)).toHaveLength(20);
  });

  test('an old version in an update or a delete is a conflict', async () => {
    const created = (await api.post(maps, configMap('a'))).json;
    await api.patch(`${maps}/a`, 'application/merge-patch+json', { data: { x: '1' } });
    expect((await api.put(`${maps}/a`, created)).json.message).toBe(
      'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again',
    );
    const preconditions = { preconditions: { resourceVersion: created.metadata.resourceVersion } };
    expect((await api.delete(`${maps}/a`, { body: preconditions })).code).toBe(409);
    expect((await api.delete(`${maps}/a`, { body: { preconditions: { uid: 'other' } } })).code).toBe(409);
  });

  test('a dry run changes nothing', async () => {
    expect((await api.post(`${maps}?dryRun=All`, configMap('a'))).code).toBe(201);
    expect((await api.get(`${maps}/a`)).code).toBe(404);
    expect((await api.post(`${maps}?dryRun=Some`, configMap('a'))).code).toBe(422);
  });

  test('names are generated, and a name or a prefix is needed', async () => {
    const named = await api.post(maps, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { generateName: 'gen-' } });
    expect(named.json.metadata.name).toMatch(/^gen-[a-z0-9]{5}$/);
    expect((await api.post(maps, { apiVersion: 'v1', kind: 'ConfigMap' })).json.message).toBe(
      'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required',
    );
  });

  test('a collection is deleted by selection', async () => {
    await fill(4);
    const deleted = await api.delete(`${maps}?labelSelector=n%3D0`);
    expect(deleted.json.items).toHaveLength(2);
    expect((await api.get(maps)).json.items).toHaveLength(2);
  });
});

describe('subresources', () => {
  const deployments = '/apis/apps/v1/namespaces/default/deployments';
  const deployment = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web' },
    spec: {
      replicas: 2,
      selector: { matchLabels: { app: 'web' } },
      template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'c', image: 'x' }] } },
    },
  };

  test('status and spec are written apart, and only the spec raises the generation', async () => {
    await api.post(deployments, deployment);
    const status = await api.patch(`${deployments}/web/status`, 'application/merge-patch+json', {
      spec: { replicas: 9 },
      status: { replicas: 2 },
    });
    expect(status.json).toMatchObject({ metadata: { generation: 1 }, spec: { replicas: 2 }, status: { replicas: 2 } });
    const spec = await api.patch(`${deployments}/web`, 'application/merge-patch+json', {
      spec: { replicas: 3 },
      status: { replicas: 9 },
    });
    expect(spec.json).toMatchObject({ metadata: { generation: 2 }, spec: { replicas: 3 }, status: { replicas: 2 } });
  });

  test('scale shows and sets the replicas', async () => {
    await api.post(deployments, deployment);
    const scale = (await api.get(`${deployments}/web/scale`)).json;
    expect(scale).toMatchObject({ kind: 'Scale', spec: { replicas: 2 }, status: { selector: 'app=web' } });
    await api.put(`${deployments}/web/scale`, { ...scale, spec: { replicas: 5 } });
    expect((await api.get(`${deployments}/web`)).json.spec.replicas).toBe(5);
    expect((await api.put(`${deployments}/web/scale`, scale)).code).toBe(409);
  });

  test('a pod is bound once', async () => {
    const pods = '/api/v1/namespaces/default/pods';
    await api.post(pods, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p' },
      spec: { containers: [{ name: 'c', image: 'x' }] },
    });
    const binding = {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name: 'p' },
      target: { kind: 'Node', name: 'n1' },
    };
    expect((await api.post(`${pods}/p/binding`, binding)).code).toBe(201);
    expect((await api.get(`${pods}/p`)).json).toMatchObject({
      spec: { nodeName: 'n1' },
      status: { conditions: [{ type: 'PodScheduled', status: 'True' }] },
    });
    expect((await api.post(`${pods}/p/binding`, binding)).json).toMatchObject({ code: 409, reason: 'Conflict' });
  });

  test('a pod without a node goes at once, with one after its grace, and by force at once', async () => {
    const pods = '/api/v1/namespaces/default/pods';
    const pod = (name: string, nodeName?: string) => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name },
      spec: { nodeName, containers: [{ name: 'c', image: 'x' }] },
    });
    await api.post(pods, pod('free'));
    await api.delete(`${pods}/free`);
    expect((await api.get(`${pods}/free`)).code).toBe(404);
    await api.post(pods, pod('bound', 'n'));
    expect((await api.delete(`${pods}/bound`)).json.metadata).toMatchObject({ deletionGracePeriodSeconds: 30 });
    const shorter = { kind: 'DeleteOptions', apiVersion: 'v1', gracePeriodSeconds: 5 };
    expect((await api.delete(`${pods}/bound`, { body: shorter })).json.metadata.deletionGracePeriodSeconds).toBe(5);
    expect((await api.delete(`${pods}/bound`, { body: { gracePeriodSeconds: 'x' } })).code).toBe(400);
    await api.delete(`${pods}/bound`, { body: { gracePeriodSeconds: 0 } });
    expect((await api.get(`${pods}/bound`)).code).toBe(404);
  });

  test('what a subresource is sent is checked', async () => {
    const pods = '/api/v1/namespaces/default/pods';
    await api.post(pods, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p' },
      spec: { containers: [{ name: 'c', image: 'x' }] },
    });
    const binding = { apiVersion: 'v1', kind: 'Binding', metadata: { name: 'p' }, target: { name: { evil: true } } };
    expect((await api.post(`${pods}/p/binding`, binding)).code).toBe(400);
    expect((await api.post(`${pods}/p/binding`, { kind: 'Pod' })).code).toBe(400);
  });

  test('answers in YAML to who asks for it', async () => {
    const path = '/api/v1/namespaces/default/configmaps';
    await api.post(path, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'y' }, data: { a: 'b' } });
    const answer = await api.get(`${path}/y`, { accept: 'application/yaml' });
    expect(answer.headers['content-type']).toBe('application/yaml');
    expect(answer.text).toMatch(/^kind: ConfigMap\napiVersion: v1\n/);
    expect(answer.text).toContain('\ndata:\n  a: b\n');
  });

  test('an eviction asks the disruption budget', async () => {
    const pods = '/api/v1/namespaces/default/pods';
    await api.post(pods, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p', labels: { a: 'b' } },
      spec: { nodeName: 'n', containers: [{ name: 'c', image: 'x' }] },
    });
    const ready = (status: string): Promise<unknown> =>
      api.patch(`${pods}/p/status`, 'application/merge-patch+json', {
        status: { phase: 'Running', conditions: [{ type: 'Ready', status }] },
      });
    await ready('True');
    const budgets = '/apis/policy/v1/namespaces/default/poddisruptionbudgets';
    await api.post(budgets, {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: { name: 'b' },
      spec: { minAvailable: 1, selector: { matchLabels: { a: 'b' } } },
    });
    await api.patch(`${budgets}/b/status`, 'application/merge-patch+json', {
      status: { observedGeneration: 1, disruptionsAllowed: 0, currentHealthy: 1, desiredHealthy: 1, expectedPods: 1 },
    });
    const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'p' } };
    expect((await api.post(`${pods}/p/eviction`, eviction)).json).toMatchObject({
      code: 429,
      reason: 'TooManyRequests',
    });
    // One that is not ready does not count among the healthy ones, which are enough.
    const attempt = { ...eviction, deleteOptions: { dryRun: ['All'] } };
    expect((await api.post(`${pods}/p/eviction`, attempt)).code).toBe(429);
    await ready('False');
    expect((await api.post(`${pods}/p/eviction`, attempt)).code).toBe(201);
    await ready('True');
    await api.patch(`${budgets}/b/status`, 'application/merge-patch+json', { status: { disruptionsAllowed: 1 } });
    expect((await api.post(`${pods}/p/eviction`, attempt)).code).toBe(201);
    expect((await api.get(`${pods}/p`)).json.metadata.deletionTimestamp).toBeUndefined();
    expect((await api.get(`${budgets}/b`)).json.status.disruptionsAllowed).toBe(1);
    expect((await api.post(`${pods}/p/eviction`, eviction)).code).toBe(201);
    expect((await api.get(`${pods}/p`)).json.metadata.deletionTimestamp).toBeDefined();
  });

  test('a namespace goes when it is finalised', async () => {
    await api.post('/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'ns1' } });
    await api.delete('/api/v1/namespaces/ns1');
    const going = (await api.get('/api/v1/namespaces/ns1')).json;
    expect(going).toMatchObject({ status: { phase: 'Terminating' }, spec: { finalizers: ['kubernetes'] } });
    await api.put('/api/v1/namespaces/ns1/finalize', { ...going, spec: {} });
    expect((await api.get('/api/v1/namespaces/ns1')).code).toBe(404);
  });

  test('tokens and reviews', async () => {
    const accounts = '/api/v1/namespaces/default/serviceaccounts';
    await api.post(accounts, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'sa' } });
    const token = await api.post(`${accounts}/sa/token`, {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: {},
    });
    expect(token.json.status.token).toBe('token-of-sa');
    const review = (user: string) =>
      api.post('/apis/authorization.k8s.io/v1/subjectaccessreviews', {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SubjectAccessReview',
        spec: { user, resourceAttributes: { verb: 'list', resource: 'pods' } },
      });
    expect((await review('reader')).json.status.allowed).toBe(true);
    expect((await review('nobody')).json.status.allowed).toBe(false);
  });
});

describe('services', () => {
  const services = '/api/v1/namespaces/default/services';
  const service = (name: string, spec: object) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: { ports: [{ port: 80 }], ...spec },
  });

  test('get addresses and ports that nobody else has, and give them back', async () => {
    const first = await api.post(services, service('a', { type: 'NodePort', ports: [{ port: 80, nodePort: 30320 }] }));
    expect(first.json.spec.clusterIP).toMatch(/^10\.96\./);
    const second = await api.post(services, service('b', { type: 'NodePort', ports: [{ port: 80, nodePort: 30320 }] }));
    expect(second.json.message).toBe(
      'Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 30320: provided port is already allocated',
    );
    const outside = await api.post(services, service('b', { type: 'NodePort', ports: [{ port: 80, nodePort: 80 }] }));
    expect(outside.json.message).toBe(
      'Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767',
    );
    const taken = await api.post(services, service('b', { clusterIP: first.json.spec.clusterIP }));
    expect(taken.json.message).toContain('provided IP is already allocated');
    await api.delete(`${services}/a`);
    expect(
      (await api.post(services, service('b', { type: 'NodePort', ports: [{ port: 80, nodePort: 30320 }] }))).code,
    ).toBe(201);
  });

  test('many at once never share', async () => {
    const made = await Promise.all(
      Array.from({ length: 60 }, (_, index) => api.post(services, service(`s${index}`, { type: 'NodePort' }))),
    );
    expect(new Set(made.map((answer) => answer.json.spec.clusterIP)).size).toBe(60);
    expect(new Set(made.map((answer) => answer.json.spec.ports[0].nodePort)).size).toBe(60);
  });
});

describe('documents', () => {
  test('version, health, discovery and OpenAPI answer', async () => {
    expect((await api.get('/version')).json.gitVersion).toBe('v1.36.0');
    expect((await api.get('/readyz')).text).toBe('ok');
    expect((await api.get('/livez/ping')).text).toBe('ok');
    expect((await api.get('/readyz?verbose')).text).toContain('[+]etcd ok\n');
    expect((await api.get('/api/v1')).json.kind).toBe('APIResourceList');
    const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json';
    const aggregated = await api.get('/apis', { accept });
    expect(aggregated.json.kind).toBe('APIGroupDiscoveryList');
    const again = await api.get('/apis', { accept, headers: { 'if-none-match': aggregated.headers.etag! } });
    expect(again.code).toBe(304);
    expect((await api.get('/openapi/v3/apis/apps/v1')).json.openapi).toBe('3.0.0');
    expect((await api.get('/apis/none.example')).code).toBe(404);
    expect((await api.get('/metrics')).text).toContain('apiserver_request_total{code="200"');
  });
});
