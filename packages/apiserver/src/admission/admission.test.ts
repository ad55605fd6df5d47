import { type ApiObject, builtinKinds, statusOf } from '@wherry/api';
import type { Random } from '@wherry/base';
import { describe, expect, it } from 'vitest';
import type { AdmissionPlugin, AdmissionReader, AdmissionRequest } from './contract.ts';
import { defaultAdmissionPlugins } from './index.ts';

const random: Random = { hex: (n) => '0'.repeat(n), uuid: () => 'uuid', suffix: (n) => 'x'.repeat(n) };
const plugins = defaultAdmissionPlugins({ random, protectStorage: true });
const admin = { username: 'admin', groups: ['system:masters'] };

function readerOf(objects: Readonly<Record<string, readonly ApiObject[]>>): AdmissionReader {
  const all = (resource: string) => objects[resource] ?? [];
  const within = (namespace: string) => (object: ApiObject) =>
    namespace === '' || object.metadata?.namespace === namespace;
  return {
    get: ({ resource }, namespace, name) =>
      all(resource)
        .filter(within(namespace))
        .find((object) => object.metadata?.name === name),
    list: ({ resource }, namespace) => all(resource).filter(within(namespace)),
    now: () => 0,
  };
}

const basics = {
  namespaces: [{ metadata: { name: 'ns' }, status: { phase: 'Active' } }],
  serviceaccounts: [{ metadata: { name: 'default', namespace: 'ns' }, imagePullSecrets: [{ name: 'reg' }] }],
};

function requestOf(kind: string, object: ApiObject, more: Partial<AdmissionRequest> = {}): AdmissionRequest {
  const declaration = builtinKinds.find((k) => k.kind === kind)!;
  declaration.defaults?.(object);
  return {
    operation: 'CREATE',
    kind: declaration,
    namespace: declaration.namespaced ? 'ns' : '',
    name: object.metadata?.name ?? '',
    subresource: '',
    object,
    oldObject: undefined,
    user: admin,
    dryRun: false,
    ...more,
  };
}

async function run(request: AdmissionRequest, objects: Readonly<Record<string, readonly ApiObject[]>> = basics) {
  const reader = readerOf(objects);
  for (const plugin of plugins) await plugin.admit?.(request, reader);
  for (const plugin of plugins) await plugin.validate?.(request, reader);
  return request.object as ApiObject & { spec: Record<string, unknown> };
}

async function refusal(...args: Parameters<typeof run>): Promise<[number | undefined, string | undefined]> {
  try {
    await run(...args);
  } catch (error) {
    const status = statusOf(error);
    return [status.code, status.message];
  }
  return [undefined, undefined];
}

const pod = (spec: object = {}): ApiObject => ({
  metadata: { name: 'p', namespace: 'ns' },
  spec: { containers: [{ name: 'c', image: 'busybox:1.35' }], ...spec },
});

describe('pods', () => {
  it('get their account, its token, priority and tolerations', async () => {
    const { spec } = await run(requestOf('Pod', pod()));
    expect(spec).toMatchObject({
      serviceAccount: 'default',
      serviceAccountName: 'default',
      imagePullSecrets: [{ name: 'reg' }],
      priority: 0,
      preemptionPolicy: 'PreemptLowerPriority',
      volumes: [{ name: 'kube-api-access-xxxxx', projected: { defaultMode: 420 } }],
      containers: [
        {
          volumeMounts: [
            {
              mountPath: '/var/run/secrets/kubernetes.io/serviceaccount',
              name: 'kube-api-access-xxxxx',
              readOnly: true,
            },
          ],
        },
      ],
      tolerations: [
        { effect: 'NoExecute', key: 'node.kubernetes.io/not-ready', operator: 'Exists', tolerationSeconds: 300 },
        { effect: 'NoExecute', key: 'node.kubernetes.io/unreachable', operator: 'Exists', tolerationSeconds: 300 },
      ],
    });
    const [volume] = spec.volumes as { projected: { sources: object[] } }[];
    expect(volume!.projected.sources[0]).toEqual({ serviceAccountToken: { expirationSeconds: 3607, path: 'token' } });
  });

  it('get no token when they or their account say so', async () => {
    const { spec } = await run(requestOf('Pod', pod({ automountServiceAccountToken: false })));
    expect(spec).not.toHaveProperty('volumes');
  });

  it('are refused without their account', async () => {
    expect(await refusal(requestOf('Pod', pod({ serviceAccountName: 'x' })))).toEqual([
      403,
      'pods "p" is forbidden: error looking up service account ns/x: serviceaccount "x" not found',
    ]);
  });

  it('keep tolerations of their own', async () => {
    const { spec } = await run(requestOf('Pod', pod({ tolerations: [{ operator: 'Exists' }] })));
    expect(spec.tolerations).toEqual([{ operator: 'Exists' }]);
  });

  it('take the number of their priority class', async () => {
    const priorityclasses = [
      { metadata: { name: 'high' }, value: 1000, preemptionPolicy: 'Never' },
      { metadata: { name: 'usual' }, value: 5, globalDefault: true },
    ] as ApiObject[];
    const objects = { ...basics, priorityclasses };
    const high = await run(requestOf('Pod', pod({ priorityClassName: 'high' })), objects);
    expect(high.spec).toMatchObject({ priority: 1000, preemptionPolicy: 'Never' });
    const usual = await run(requestOf('Pod', pod()), objects);
    expect(usual.spec).toMatchObject({ priority: 5, priorityClassName: 'usual' });
    expect(await refusal(requestOf('Pod', pod({ priorityClassName: 'none' })), objects)).toEqual([
      403,
      'pods "p" is forbidden: no PriorityClass with name none was found',
    ]);
    expect((await refusal(requestOf('Pod', pod({ priority: 7 })), objects))[0]).toBe(403);
  });
});

describe('namespaces', () => {
  it('must exist and stay', async () => {
    const map = () => requestOf('ConfigMap', { metadata: { name: 'm', namespace: 'ns' } });
    expect(await refusal(map(), {})).toEqual([404, 'namespaces "ns" not found']);
    const namespaces = [{ metadata: { name: 'ns' }, status: { phase: 'Terminating' } }];
    expect(await refusal(map(), { namespaces })).toEqual([
      403,
      'configmaps "m" is forbidden: unable to create new content in namespace ns because it is being terminated',
    ]);
    const gone = requestOf('Namespace', { metadata: { name: 'default' } }, { operation: 'DELETE', object: undefined });
    expect(await refusal(gone)).toEqual([403, 'namespaces "default" is forbidden: this namespace may not be deleted']);
  });
});

describe('limits and quotas', () => {
  const range = (item: object): ApiObject => ({ metadata: { name: 'l', namespace: 'ns' }, spec: { limits: [item] } });
  const quota = (hard: object, spec: object = {}): ApiObject => ({
    metadata: { name: 'q', namespace: 'ns' },
    spec: { hard, ...spec },
  });
  const cpu = (amount: string) => ({
    containers: [{ name: 'c', image: 'i:1', resources: { requests: { cpu: amount } } }],
  });

  it('fill containers in and hold them to the range', async () => {
    const item = { type: 'Container', default: { cpu: '500m' }, defaultRequest: { cpu: '100m' }, max: { cpu: '1' } };
    const objects = { ...basics, limitranges: [range(item)] };
    const filled = await run(requestOf('Pod', pod()), objects);
    expect(filled.spec.containers).toMatchObject([
      { resources: { limits: { cpu: '500m' }, requests: { cpu: '100m' } } },
    ]);
    expect(filled.metadata!.annotations).toEqual({
      'kubernetes.io/limit-ranger': 'LimitRanger plugin set: cpu limit for container c; cpu request for container c',
    });
    const much = { containers: [{ name: 'c', image: 'i:1', resources: { limits: { cpu: '2' } } }] };
    expect((await refusal(requestOf('Pod', pod(much)), objects))[1]).toBe(
      'pods "p" is forbidden: maximum cpu usage per Container is 1, but limit is 2',
    );
  });

  it('count what is there, finished pods aside', async () => {
    const there = { ...pod(cpu('600m')), metadata: { name: 'a', namespace: 'ns' } };
    const done = { ...there, metadata: { name: 'b', namespace: 'ns' }, status: { phase: 'Succeeded' } };
    const objects = { ...basics, pods: [there, done], resourcequotas: [quota({ 'requests.cpu': '1', pods: '2' })] };
    expect(await refusal(requestOf('Pod', pod(cpu('400m'))), objects)).toEqual([undefined, undefined]);
    expect((await refusal(requestOf('Pod', pod(cpu('401m'))), objects))[1]).toBe(
      'pods "p" is forbidden: exceeded quota: q, requested: requests.cpu=401m, used: requests.cpu=600m, limited: requests.cpu=1',
    );
    expect((await refusal(requestOf('Pod', pod()), objects))[1]).toBe(
      'pods "p" is forbidden: failed quota: q: must specify requests.cpu for: c',
    );
  });

  it('count other kinds, and only what the scope selects', async () => {
    const map = requestOf('ConfigMap', { metadata: { name: 'm', namespace: 'ns' } });
    const full = {
      ...basics,
      configmaps: [{ metadata: { name: 'a', namespace: 'ns' } }],
      resourcequotas: [quota({ configmaps: '1' })],
    };
    expect((await refusal(map, full))[1]).toBe(
      'configmaps "m" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=1, limited: configmaps=1',
    );
    const scoped = { ...basics, resourcequotas: [quota({ pods: '0' }, { scopes: ['NotBestEffort'] })] };
    expect(await refusal(requestOf('Pod', pod()), scoped)).toEqual([undefined, undefined]);
    expect((await refusal(requestOf('Pod', pod(cpu('1'))), scoped))[0]).toBe(403);
  });
});

describe('pod security', () => {
  const secured = (labels: Record<string, string>) => ({
    ...basics,
    namespaces: [{ metadata: { name: 'ns', labels }, status: { phase: 'Active' } }],
  });

  it('enforces the level of the namespace', async () => {
    const objects = secured({ 'pod-security.kubernetes.io/enforce': 'baseline' });
    expect(await refusal(requestOf('Pod', pod()), objects)).toEqual([undefined, undefined]);
    expect((await refusal(requestOf('Pod', pod({ hostNetwork: true })), objects))[1]).toBe(
      'pods "p" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)',
    );
  });

  it('warns about workloads', async () => {
    const warnings: string[] = [];
    const objects = secured({ 'pod-security.kubernetes.io/warn': 'restricted' });
    const spec = { selector: { matchLabels: { a: 'b' } }, template: { metadata: { labels: { a: 'b' } }, ...pod() } };
    const request = requestOf(
      'Deployment',
      { metadata: { name: 'd', namespace: 'ns' }, spec },
      { warn: (text) => warnings.push(text) },
    );
    await run(request, objects);
    expect(warnings).toEqual([
      'would violate PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")',
    ]);
  });
});

describe('nodes', () => {
  const kubelet = { username: 'system:node:n1', groups: ['system:nodes', 'system:authenticated'] };

  it('start with a taint', async () => {
    const node = await run(requestOf('Node', { metadata: { name: 'n1' } }));
    expect(node.spec.taints).toEqual([{ key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' }]);
  });

  it('are changed by their own kubelet only', async () => {
    const other = requestOf('Node', { metadata: { name: 'n2' } }, { user: kubelet });
    expect((await refusal(other))[1]).toBe('nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"');
    expect(await refusal(requestOf('Node', { metadata: { name: 'n1' } }, { user: kubelet }))).toEqual([
      undefined,
      undefined,
    ]);
  });

  it('may not touch pods elsewhere', async () => {
    const elsewhere = pod({ nodeName: 'n2' });
    const request = requestOf('Pod', structuredClone(elsewhere), {
      operation: 'UPDATE',
      subresource: 'status',
      oldObject: elsewhere,
      user: kubelet,
    });
    expect((await refusal(request))[1]).toBe(
      'pods "p" is forbidden: node "n1" can only update pod status for pods with spec.nodeName set to itself',
    );
  });
});

describe('storage', () => {
  it('gives claims the newest default class and protects them', async () => {
    const annotations = { 'storageclass.kubernetes.io/is-default-class': 'true' };
    const storageclasses = [
      { metadata: { name: 'old', annotations, creationTimestamp: '2026-01-01T00:00:00Z' } },
      { metadata: { name: 'new', annotations, creationTimestamp: '2026-02-01T00:00:00Z' } },
    ];
    const claim = requestOf('PersistentVolumeClaim', { metadata: { name: 'c', namespace: 'ns' }, spec: {} });
    const done = await run(claim, { ...basics, storageclasses });
    expect(done.spec.storageClassName).toBe('new');
    expect(done.metadata!.finalizers).toEqual(['kubernetes.io/pvc-protection']);
  });
});

it('stands in the order of upstream', () => {
  expect(plugins.map((plugin: AdmissionPlugin) => plugin.name)).toEqual([
    'NamespaceLifecycle',
    'LimitRanger',
    'ServiceAccount',
    'NodeRestriction',
    'TaintNodesByCondition',
    'PodSecurity',
    'Priority',
    'DefaultTolerationSeconds',
    'DefaultStorageClass',
    'StorageObjectInUseProtection',
    'RuntimeClass',
    'ResourceQuota',
  ]);
});

describe('NodeRestriction', () => {
  const node = { username: 'system:node:n1', groups: ['system:nodes', 'system:authenticated'] };
  const podOn = (name: string, nodeName: string) => ({
    metadata: { name, namespace: 'ns', uid: `uid-${name}` },
    spec: { nodeName, containers: [] },
  });
  const objects = { ...basics, pods: [podOn('here', 'n1'), podOn('there', 'n2')] as never };
  const ask = (boundObjectRef: object | undefined) =>
    refusal(
      requestOf('ServiceAccount', { spec: { boundObjectRef } } as never, {
        user: node,
        name: 'default',
        subresource: 'token',
      }),
      objects,
    );

  it('gives a node tokens that are bound to its own pods, and no others', async () => {
    await run(
      requestOf(
        'ServiceAccount',
        { spec: { boundObjectRef: { kind: 'Pod', name: 'here', uid: 'uid-here' } } } as never,
        {
          user: node,
          name: 'default',
          subresource: 'token',
        },
      ),
      objects,
    );
    for (const ref of [
      undefined,
      { kind: 'Secret', name: 'x', uid: 'y' },
      { kind: 'Pod', name: 'here' },
      { kind: 'Pod', name: 'here', uid: 'other' },
      { kind: 'Pod', name: 'there', uid: 'uid-there' },
      { kind: 'Pod', name: 'gone', uid: 'x' },
    ]) {
      expect((await ask(ref))[0]).toBe(403);
    }
  });
});
