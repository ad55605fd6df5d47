import { describe, expect, it } from 'vitest';
import { fieldErrorText } from '../field-error.ts';
import type { ApiObject, KindDeclaration } from '../kind.ts';
import {
  builtinKinds,
  cronProblem,
  defaultPullPolicy,
  humanDuration,
  qosClassOf,
  validateObjectMeta,
} from './index.ts';

const now = Date.parse('2026-11-22T13:00:10Z');

function kind(name: string, version = ''): KindDeclaration {
  const found = builtinKinds.find((k) => k.kind === name && (version === '' || `${k.group}/${k.version}` === version));
  if (!found) throw new Error(`no kind ${name}`);
  return found;
}

/** Takes an object through the create path as the pipeline does. */
function created(of: KindDeclaration, object: ApiObject): ApiObject {
  const draft = structuredClone(object);
  draft.metadata = { namespace: 'ns', uid: 'u-1', creationTimestamp: '2026-11-22T13:00:00Z', ...draft.metadata };
  of.defaults?.(draft);
  of.prepareForCreate?.(draft, { now, user: 'admin' });
  return draft;
}

function problems(of: KindDeclaration, object: ApiObject): string[] {
  return (of.validate?.(created(of, object)) ?? []).map(fieldErrorText);
}

function changeProblems(of: KindDeclaration, old: ApiObject, change: (object: ApiObject) => void): string[] {
  const before = created(of, old);
  const after = structuredClone(before);
  change(after);
  of.defaults?.(after);
  of.prepareForUpdate?.(after, before, { now, user: 'admin' });
  return [...(of.validate?.(after) ?? []), ...(of.validateUpdate?.(after, before) ?? [])].map(fieldErrorText);
}

function cells(of: KindDeclaration, object: ApiObject, wide = false): unknown[] {
  return of.cells!(object, now).filter((_, index) => wide || of.columns![index]!.priority === 0);
}

const container = { name: 'c', image: 'busybox:1.35' };
const pod = (spec: object = {}): ApiObject => ({ metadata: { name: 'p' }, spec: { containers: [container], ...spec } });
const template = { metadata: { labels: { app: 'web' } }, spec: { containers: [container] } };
const deployment = (spec: object = {}): ApiObject => ({
  metadata: { name: 'web' },
  spec: { selector: { matchLabels: { app: 'web' } }, template, ...spec },
});

describe('the table of kinds', () => {
  it('has each kind once, with as many cells as columns', () => {
    const ids = builtinKinds.map((k) => `${k.group}/${k.version}/${k.resource}`);
    expect(new Set(ids).size).toBe(ids.length);
    for (const k of builtinKinds) {
      if (!k.columns || !k.cells) continue;
      const object = created(k, { metadata: { name: 'x' } });
      expect(k.cells(object, now), k.kind).toHaveLength(k.columns.length);
    }
  });

  it('survives hostile emptiness: defaults, validation and cells of an object without anything', () => {
    for (const k of builtinKinds) {
      const draft: ApiObject = { metadata: {} };
      k.defaults?.(draft);
      k.prepareForCreate?.(draft, { now, user: 'u' });
      k.validate?.(draft);
      k.validateUpdate?.(draft, structuredClone(draft));
      k.selectableFields?.(draft);
      k.cells?.(draft, now);
    }
  });

  it('defaults are idempotent', () => {
    const samples: [string, ApiObject][] = [
      ['Pod', pod({ hostNetwork: true, volumes: [{ name: 'v' }, { name: 's', secret: { secretName: 'x' } }] })],
      ['Deployment', deployment()],
      ['Service', { metadata: { name: 's' }, spec: { type: 'LoadBalancer', ports: [{ port: 80 }] } }],
      ['Job', { metadata: { name: 'j' }, spec: { template } }],
      ['CronJob', { metadata: { name: 'j' }, spec: { schedule: '@daily', jobTemplate: { spec: { template } } } }],
      ['LimitRange', { metadata: { name: 'l' }, spec: { limits: [{ type: 'Container', max: { cpu: '1' } }] } }],
      ...builtinKinds.map((k): [string, ApiObject] => [k.kind, { metadata: { name: 'x' } }]),
    ];
    for (const [name, object] of samples) {
      const once = structuredClone(object);
      kind(name).defaults?.(once);
      const twice = structuredClone(once);
      kind(name).defaults?.(twice);
      expect(twice, name).toEqual(once);
    }
  });
});

describe('pods', () => {
  it('has the defaults that upstream shows', () => {
    const draft = created(kind('Pod'), pod({ terminationGracePeriodSeconds: 0 }));
    expect(draft.spec).toEqual({
      containers: [
        {
          ...container,
          imagePullPolicy: 'IfNotPresent',
          resources: {},
          terminationMessagePath: '/dev/termination-log',
          terminationMessagePolicy: 'File',
        },
      ],
      dnsPolicy: 'ClusterFirst',
      enableServiceLinks: true,
      restartPolicy: 'Always',
      schedulerName: 'default-scheduler',
      securityContext: {},
      terminationGracePeriodSeconds: 0,
    });
    expect(draft.status).toEqual({ phase: 'Pending', qosClass: 'BestEffort' });
  });

  it.each([
    ['nginx', 'Always'],
    ['nginx:latest', 'Always'],
    ['localhost:5000/nginx', 'Always'],
    ['localhost:5000/nginx:1', 'IfNotPresent'],
    ['nginx@sha256:abc', 'IfNotPresent'],
    ['nginx:latest@sha256:abc', 'Always'],
  ])('pulls %s %s', (image, policy) => {
    expect(defaultPullPolicy(image)).toBe(policy);
  });

  it.each<[string, object, string[]]>([
    [
      'restart policy',
      { restartPolicy: 'x' },
      ['spec.restartPolicy: Unsupported value: "x": supported values: "Always", "OnFailure", "Never"'],
    ],
    ['no containers', { containers: [] }, ['spec.containers: Required value']],
    ['no name', { containers: [{ image: 'i:1' }] }, ['spec.containers[0].name: Required value']],
    ['same name', { containers: [container, container] }, ['spec.containers[1].name: Duplicate value: "c"']],
    [
      'mount of nothing',
      { containers: [{ ...container, volumeMounts: [{ name: 'v', mountPath: '/v' }] }] },
      ['spec.containers[0].volumeMounts[0].name: Not found: "v"'],
    ],
    [
      'request over limit',
      { containers: [{ ...container, resources: { limits: { cpu: '1' }, requests: { cpu: '2' } } }] },
      ['spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
    ],
    [
      'port out of range',
      { containers: [{ ...container, ports: [{ containerPort: 70000 }] }] },
      ['spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive'],
    ],
    [
      'probe without handler',
      { containers: [{ ...container, livenessProbe: {} }] },
      ['spec.containers[0].livenessProbe: Required value: must specify a handler type'],
    ],
    [
      'probe of an init container',
      { initContainers: [{ name: 'i', image: 'i:1', readinessProbe: { exec: { command: ['x'] } } }] },
      [
        'spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always',
      ],
    ],
    [
      'env from nowhere',
      { containers: [{ ...container, env: [{ name: 'A', valueFrom: {} }] }] },
      [
        'spec.containers[0].env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`',
      ],
    ],
    [
      'two sources of a volume',
      { volumes: [{ name: 'v', emptyDir: {}, hostPath: { path: '/x' } }] },
      ['spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type'],
    ],
    [
      'host path with dots',
      { volumes: [{ name: 'v', hostPath: { path: '/x/../y' } }] },
      ['spec.volumes[0].hostPath.path: Invalid value: "/x/../y": must not contain \'..\''],
    ],
  ])('refuses: %s', (_what, spec, texts) => {
    expect(problems(kind('Pod'), pod(spec))).toEqual(texts);
  });

  it('lets an update change images, and nothing else', () => {
    const image = (object: ApiObject) => {
      (object.spec as { containers: { image: string }[] }).containers[0]!.image = 'busybox:2';
    };
    expect(changeProblems(kind('Pod'), pod(), image)).toEqual([]);
    const policy = (object: ApiObject) => {
      (object.spec as { restartPolicy: string }).restartPolicy = 'Never';
    };
    const [text] = changeProblems(kind('Pod'), pod(), policy);
    expect(text).toMatch(
      /^spec: Forbidden: pod updates may not change fields other than `spec.containers\[\*\].image`,/,
    );
    expect(text).toContain('- \tRestartPolicy: "Always",\n+ \tRestartPolicy: "Never",');
  });

  it.each<[object[], string]>([
    [[{}], 'BestEffort'],
    [[{ requests: { cpu: '1' } }], 'Burstable'],
    [[{ limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '1000m', memory: '1024Mi' } }], 'Guaranteed'],
    [[{ limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '1', memory: '1Gi' } }, {}], 'Burstable'],
    [[{ limits: { cpu: '0' } }], 'BestEffort'],
  ])('class of service %#', (resources, expected) => {
    const containers = resources.map((r, i) => ({ ...container, name: `c${i}`, resources: r }));
    expect(qosClassOf({ containers })).toBe(expected);
  });

  const status = (object: object, spec: object = {}, metadata: object = {}) =>
    cells(kind('Pod'), {
      metadata: { name: 'p', creationTimestamp: '2026-11-22T13:00:00Z', ...metadata },
      spec: { containers: [container], ...spec },
      status: object,
    } as ApiObject).slice(1, 4);

  it('words the state of a pod as kubectl shows it', () => {
    const c = (state: object, more: object = {}) => ({ name: 'c', restartCount: 0, ready: false, state, ...more });
    const running = { running: {} };
    expect(status({ phase: 'Pending' })).toEqual(['0/1', 'Pending', '0']);
    expect(status({ phase: 'Running', containerStatuses: [c(running, { ready: true })] })).toEqual([
      '1/1',
      'Running',
      '0',
    ]);
    expect(
      status({ phase: 'Succeeded', containerStatuses: [c({ terminated: { exitCode: 0, reason: 'Completed' } })] }),
    ).toEqual(['0/1', 'Completed', '0']);
    const lastState = { terminated: { exitCode: 3, finishedAt: '2026-11-22T13:00:05Z' } };
    const waiting = c({ waiting: { reason: 'CrashLoopBackOff' } }, { restartCount: 1, lastState });
    expect(status({ phase: 'Running', containerStatuses: [waiting] })).toEqual([
      '0/1',
      'CrashLoopBackOff',
      '1 (5s ago)',
    ]);
    expect(status({ phase: 'Running', containerStatuses: [c({ terminated: { exitCode: 0, signal: 9 } })] })[1]).toBe(
      'Signal:9',
    );
    expect(status({ phase: 'Running' }, {}, { deletionTimestamp: '2026-11-22T13:00:00Z' })[1]).toBe('Terminating');
    expect(status({ phase: 'Succeeded' }, {}, { deletionTimestamp: '2026-11-22T13:00:00Z' })[1]).toBe('Succeeded');
    const gated = [{ type: 'PodScheduled', status: 'False', reason: 'SchedulingGated' }];
    expect(status({ phase: 'Pending', conditions: gated })[1]).toBe('SchedulingGated');
  });

  it('words init containers and counts sidecars', () => {
    const initContainers = [
      { name: 'one', image: 'i' },
      { name: 'side', image: 'i', restartPolicy: 'Always' },
    ];
    const init = (state: object, name = 'one', more: object = {}) => ({
      name,
      restartCount: 0,
      ready: false,
      state,
      ...more,
    });
    const pending = { phase: 'Pending', initContainerStatuses: [init({ running: {} })] };
    expect(status(pending, { initContainers })).toEqual(['0/2', 'Init:0/2', '0']);
    const failed = {
      phase: 'Pending',
      initContainerStatuses: [init({ terminated: { exitCode: 1, reason: 'Error' } })],
    };
    expect(status(failed, { initContainers })[1]).toBe('Init:Error');
    const up = {
      phase: 'Running',
      conditions: [{ type: 'Initialized', status: 'True' }],
      initContainerStatuses: [
        init({ terminated: { exitCode: 0, reason: 'Completed' } }),
        init({ running: {} }, 'side', { ready: true, started: true }),
      ],
      containerStatuses: [{ name: 'c', restartCount: 0, ready: true, state: { running: {} } }],
    };
    expect(status(up, { initContainers })).toEqual(['2/2', 'Running', '0']);
  });
});

describe('workloads', () => {
  it('refuses what golden transcripts show refused', () => {
    const other = (object: ApiObject) => {
      (object.spec as { selector: object }).selector = { matchLabels: { app: 'other' } };
    };
    expect(changeProblems(kind('Deployment'), deployment(), other)).toEqual([
      'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`',
      'spec.selector: Invalid value: {"matchLabels":{"app":"other"}}: field is immutable',
    ]);
    const recreate = (object: ApiObject) => {
      (object.spec as { strategy: { type: string } }).strategy.type = 'Recreate';
    };
    expect(changeProblems(kind('Deployment'), deployment(), recreate)).toEqual([
      "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
    ]);
  });

  it('gives a deployment its defaults and columns', () => {
    const draft = created(kind('Deployment'), deployment());
    expect(draft.spec).toMatchObject({
      replicas: 1,
      revisionHistoryLimit: 10,
      progressDeadlineSeconds: 600,
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%' } },
    });
    expect(JSON.stringify(draft.spec)).not.toContain('enableServiceLinks');
    expect(cells(kind('Deployment'), draft)).toEqual(['web', '0/1', 0, 0, '10s']);
    expect(kind('Deployment').columns!.map((column) => column.name)).toEqual([
      'Name',
      'Ready',
      'Up-to-date',
      'Available',
      'Age',
      'Containers',
      'Images',
      'Selector',
    ]);
    expect(cells(kind('Deployment'), draft, true).slice(5)).toEqual(['c', 'busybox:1.35', 'app=web']);
  });

  it('makes a job select its pods by uid and shows it', () => {
    const job = kind('Job');
    const podSpec = { restartPolicy: 'Never', containers: [container] };
    const draft = created(job, { metadata: { name: 'job' }, spec: { completions: 2, template: { spec: podSpec } } });
    expect(draft.spec).toMatchObject({
      selector: { matchLabels: { 'batch.kubernetes.io/controller-uid': 'u-1' } },
      template: { metadata: { labels: { 'job-name': 'job', 'batch.kubernetes.io/job-name': 'job' } } },
      backoffLimit: 6,
      parallelism: 1,
      suspend: false,
    });
    expect(draft.metadata!.labels).toHaveProperty('controller-uid', 'u-1');
    draft.status = {
      succeeded: 2,
      startTime: '2026-11-22T13:00:00Z',
      completionTime: '2026-11-22T13:00:07Z',
      conditions: [{ type: 'Complete', status: 'True' }],
    };
    expect(cells(job, draft)).toEqual(['job', 'Complete', '2/2', '7s', '10s']);
    expect(problems(job, { metadata: { name: 'j' }, spec: { template } })).toEqual([
      'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
    ]);
  });

  it.each([
    ['*/5 * * * *', undefined],
    ['0 0 1 jan sun', undefined],
    ['@every 1h30m', undefined],
    ['* * * *', 'expected exactly 5 fields, found 4: [* * * *]'],
    ['60 * * * *', 'end of range (60) above maximum (59): 60'],
    ['@nope', 'unrecognized descriptor: @nope'],
    ['*/0 * * * *', 'step of range should be a positive number: */0'],
  ])('schedule %s', (schedule, problem) => {
    expect(cronProblem(schedule)).toBe(problem);
  });
});

describe('configuration', () => {
  it('keeps immutable data', () => {
    const map: ApiObject = { metadata: { name: 'm' }, data: { k: '9' }, immutable: true };
    const change = (object: ApiObject) => {
      object.data = { k: '10' };
    };
    expect(changeProblems(kind('ConfigMap'), map, change)).toEqual([
      'data: Forbidden: field is immutable when `immutable` is set',
    ]);
  });

  it('checks typed secrets and takes stringData in', () => {
    const bad: ApiObject = { metadata: { name: 'bad' }, type: 'kubernetes.io/tls', data: { a: 'Yg==' } };
    expect(problems(kind('Secret'), bad)).toEqual(['data[tls.crt]: Required value', 'data[tls.key]: Required value']);
    const draft = created(kind('Secret'), { metadata: { name: 's' }, stringData: { a: 'plain' } });
    expect(draft).toMatchObject({ type: 'Opaque', data: { a: 'cGxhaW4=' } });
    expect(draft).not.toHaveProperty('stringData');
  });

  it('words bad names and labels as upstream does', () => {
    const texts = (metadata: object) =>
      validateObjectMeta({ namespace: 'n', ...metadata }, { namespaced: true }).map(fieldErrorText);
    expect(texts({ name: 'Bad_Name' })).toEqual([
      "metadata.name: Invalid value: \"Bad_Name\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
    ]);
    expect(texts({ name: 'two', labels: { 'bad key': 'x' } })).toEqual([
      "metadata.labels: Invalid value: \"bad key\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
    ]);
    expect(texts({})).toEqual(['metadata.name: Required value: name or generateName is required']);
  });
});

describe('services', () => {
  const service = (spec: object): ApiObject => ({ metadata: { name: 's' }, spec });

  it('has the defaults and cells of golden transcripts', () => {
    const draft = created(
      kind('Service'),
      service({
        type: 'NodePort',
        sessionAffinity: 'ClientIP',
        clusterIP: '10.96.0.9',
        ports: [{ port: 8080, nodePort: 30320 }],
      }),
    );
    expect(draft.spec).toMatchObject({
      externalTrafficPolicy: 'Cluster',
      internalTrafficPolicy: 'Cluster',
      ipFamilyPolicy: 'SingleStack',
      ipFamilies: ['IPv4'],
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 10_800 } },
      ports: [{ port: 8080, targetPort: 8080, protocol: 'TCP', nodePort: 30320 }],
    });
    expect(cells(kind('Service'), draft)).toEqual(['s', 'NodePort', '10.96.0.9', '<none>', '8080:30320/TCP', '10s']);
    const name = created(kind('Service'), service({ type: 'ExternalName', externalName: 'example.test' }));
    expect(cells(kind('Service'), name).slice(1, 5)).toEqual(['ExternalName', '<none>', 'example.test', '<none>']);
    const balanced = created(kind('Service'), service({ type: 'LoadBalancer', ports: [{ port: 80 }] }));
    expect(cells(kind('Service'), balanced)[3]).toBe('<pending>');
  });

  it('refuses what does not fit the type', () => {
    expect(problems(kind('Service'), service({}))).toEqual(['spec.ports: Required value']);
    expect(problems(kind('Service'), service({ ports: [{ port: 1, nodePort: 30000 }] }))).toEqual([
      "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
    ]);
    expect(problems(kind('Service'), service({ clusterIP: 'None' }))).toEqual([]);
    expect(problems(kind('Service'), service({ ports: [{ port: 1 }, { port: 2 }] }))).toEqual([
      'spec.ports[0].name: Required value',
      'spec.ports[1].name: Required value',
    ]);
  });

  it('keeps what was allocated through an update that leaves it out', () => {
    const of = kind('Service');
    const old = created(
      of,
      service({
        type: 'NodePort',
        clusterIP: '10.96.0.9',
        clusterIPs: ['10.96.0.9'],
        ports: [{ port: 80, nodePort: 30001 }],
      }),
    );
    const draft = service({ type: 'NodePort', ports: [{ port: 80 }] });
    of.defaults!(draft);
    of.prepareForUpdate!(draft, old, { now, user: 'u' });
    expect(draft.spec).toMatchObject({ clusterIP: '10.96.0.9', ports: [{ nodePort: 30001 }] });
  });
});

describe('views', () => {
  it('takes an autoscaler through autoscaling/v1 and back', () => {
    const old = kind('HorizontalPodAutoscaler', 'autoscaling/v1').view!;
    const stored: ApiObject = {
      apiVersion: 'autoscaling/v2',
      kind: 'HorizontalPodAutoscaler',
      metadata: { name: 'h' },
      spec: {
        maxReplicas: 3,
        minReplicas: 1,
        scaleTargetRef: { kind: 'Deployment', name: 'two' },
        metrics: [
          { type: 'Resource', resource: { name: 'memory', target: { type: 'AverageValue', averageValue: '1Gi' } } },
          { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } } },
        ],
      },
      status: { currentReplicas: 1, desiredReplicas: 2 },
    };
    const own = old.fromStored(stored);
    expect(own.spec).toMatchObject({ targetCPUUtilizationPercentage: 80 });
    expect(old.toStored(own)).toEqual(stored);
  });

  it('renames the fields of events', () => {
    const view = kind('Event', 'events.k8s.io/v1').view!;
    const stored: ApiObject = {
      apiVersion: 'v1',
      metadata: { name: 'e' },
      message: 'm',
      involvedObject: { kind: 'Pod' },
      count: 2,
    };
    const own = view.fromStored(stored);
    expect(own).toMatchObject({
      apiVersion: 'events.k8s.io/v1',
      note: 'm',
      regarding: { kind: 'Pod' },
      deprecatedCount: 2,
    });
    expect(view.toStored(own)).toEqual(stored);
  });
});

describe('humanDuration', () => {
  it.each([
    [-5, '<invalid>'],
    [0, '0s'],
    [119, '119s'],
    [120, '2m'],
    [200, '3m20s'],
    [600, '10m'],
    [3 * 3600, '3h'],
    [3 * 3600 + 300, '3h5m'],
    [47 * 3600, '47h'],
    [50 * 3600, '2d2h'],
    [30 * 86_400, '30d'],
    [800 * 86_400, '2y70d'],
  ])('%d s is %s', (seconds, text) => {
    expect(humanDuration(seconds * 1000)).toBe(text);
  });
});
