import type { V1Affinity, V1Node, V1Pod, V1PodSpec, V1Taint } from '@wherry/api';
import { expect, test } from 'vitest';
import { factsOf, NodeState } from './node-state.ts';
import { plan, preemptionMessage } from './plan.ts';
import { podRequests } from './pod-requests.ts';

function node(name: string, more: { labels?: Record<string, string>; spec?: V1Node['spec']; cpu?: string } = {}) {
  const state = new NodeState(name);
  state.node = {
    metadata: { name, labels: { 'kubernetes.io/hostname': name, ...more.labels } },
    spec: more.spec,
    status: { allocatable: { cpu: more.cpu ?? '2', memory: '4Gi', pods: '3' } },
  };
  return state;
}

let count = 0;
function pod(spec: Partial<V1PodSpec> = {}, labels: Record<string, string> = {}): V1Pod {
  return { metadata: { name: `p${count++}`, namespace: 'a', labels }, spec: { containers: [{ name: 'c' }], ...spec } };
}

const reason = (wanted: V1Pod, ...nodes: NodeState[]): string => {
  const placement = plan(wanted, nodes);
  if (placement.fits) return placement.node;
  return placement.message.replace(/^0\/\d+ nodes are available: /, '').replace(/\.$/, '');
};

test('requests: containers and sidecars are summed, the hungriest init container counts with what runs then', () => {
  const requests = podRequests(
    pod({
      initContainers: [
        { name: 'side', restartPolicy: 'Always', resources: { requests: { cpu: '100m' } } },
        { name: 'init', resources: { requests: { cpu: '1', memory: '1Mi' } } },
      ],
      containers: [
        { name: 'a', resources: { requests: { cpu: '200m' } } },
        { name: 'b', resources: { requests: { cpu: '0.3' } } },
      ],
      overhead: { cpu: '10m' },
    }),
  );
  expect(Object.fromEntries(requests)).toEqual({ cpu: 1110, memory: 1048576 });
});

test('taints and tolerations', () => {
  const taint: V1Taint = { key: 'k', value: 'v', effect: 'NoSchedule' };
  const tainted = node('n1', { spec: { taints: [taint] } });
  expect(reason(pod(), tainted)).toBe('1 node(s) had untolerated taint {k: v}');
  expect(reason(pod({ tolerations: [{ key: 'k', operator: 'Exists' }] }), tainted)).toBe('n1');
  expect(reason(pod({ tolerations: [{ key: 'k', value: 'v', effect: 'NoExecute' }] }), tainted)).toContain(
    'untolerated',
  );
  expect(reason(pod({ tolerations: [{ operator: 'Exists' }] }), tainted)).toBe('n1');
  const cordoned = node('n2', { spec: { unschedulable: true } });
  expect(reason(pod(), cordoned)).toBe('1 node(s) were unschedulable');
});

test('node selector and affinity', () => {
  const nodes = [node('n1', { labels: { disk: 'ssd' } }), node('n2', { labels: { disk: 'hdd', size: '5' } })];
  const affine = (key: string, operator: string, values?: string[]): V1Affinity => ({
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [{ matchExpressions: [{ key, operator, values }] }],
      },
    },
  });
  expect(reason(pod({ nodeSelector: { disk: 'hdd' } }), ...nodes)).toBe('n2');
  expect(reason(pod({ affinity: affine('disk', 'NotIn', ['hdd']) }), ...nodes)).toBe('n1');
  expect(reason(pod({ affinity: affine('size', 'Gt', ['4']) }), ...nodes)).toBe('n2');
  expect(reason(pod({ nodeSelector: { disk: 'x' } }), ...nodes)).toBe(
    "2 node(s) didn't match Pod's node affinity/selector",
  );
  const byName: V1Affinity = {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['n2'] }] }],
      },
    },
  };
  expect(reason(pod({ affinity: byName }), ...nodes)).toBe('n2');
});

test('host ports and the number of pods', () => {
  const state = node('n1');
  const withPort = (hostIP?: string) =>
    pod({ containers: [{ name: 'c', ports: [{ containerPort: 80, hostPort: 8080, ...(hostIP ? { hostIP } : {}) }] }] });
  state.add(factsOf(withPort('127.0.0.1')));
  expect(reason(withPort(), state)).toBe("1 node(s) didn't have free ports for the requested pod ports");
  expect(reason(withPort('127.0.0.2'), state)).toBe('n1');
  state.add(factsOf(pod()));
  state.add(factsOf(pod()));
  expect(reason(pod(), state)).toBe('1 Too many pods');
  expect(plan(pod(), [state])).toMatchObject({ candidates: [state] });
});

test('reasons of several nodes are counted and in order', () => {
  const nodes = [node('n1', { cpu: '1' }), node('n2', { cpu: '1' }), node('n3', { spec: { unschedulable: true } })];
  const big = pod({ containers: [{ name: 'c', resources: { requests: { cpu: '1500m' } } }] });
  expect(plan(big, nodes)).toEqual({
    fits: false,
    message: '0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu.',
    candidates: [],
  });
  expect(preemptionMessage(3, 1, ['Insufficient cpu'])).toBe(
    'preemption: 0/3 nodes are available: 1 Insufficient cpu, 2 Preemption is not helpful for scheduling.',
  );
});

test('pod affinity and anti-affinity, in both directions', () => {
  const nodes = [node('n1', { labels: { zone: 'a' } }), node('n2', { labels: { zone: 'b' } })];
  const term = (app: string, key: string) => ({ labelSelector: { matchLabels: { app } }, topologyKey: key });
  nodes[0]!.add(factsOf(pod({}, { app: 'db' })));
  const near = pod({
    affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term('db', 'zone')] } },
  });
  expect(reason(near, ...nodes)).toBe('n1');
  const anti = { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term('db', 'zone')] } };
  expect(reason(pod({ affinity: anti }), ...nodes)).toBe('n2');
  const nowhere = pod({
    affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term('x', 'zone')] } },
  });
  expect(reason(nowhere, ...nodes)).toBe("2 node(s) didn't match pod affinity rules");
  const first = pod(
    { affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term('x', 'zone')] } } },
    { app: 'x' },
  );
  expect(plan(first, nodes).fits).toBe(true);
  nodes[1]!.add(
    factsOf(
      pod({ affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term('web', 'zone')] } } }),
    ),
  );
  nodes[0]!.node = { ...nodes[0]!.node, spec: { unschedulable: true } };
  expect(reason(pod({}, { app: 'web' }), ...nodes)).toBe(
    "1 node(s) didn't satisfy existing pods anti-affinity rules, 1 node(s) were unschedulable",
  );
});

test('topology spread keeps the skew', () => {
  const nodes = [node('n1', { labels: { zone: 'a' } }), node('n2', { labels: { zone: 'b' } })];
  const spread = (): V1Pod =>
    pod(
      {
        topologySpreadConstraints: [
          {
            maxSkew: 1,
            topologyKey: 'zone',
            whenUnsatisfiable: 'DoNotSchedule',
            labelSelector: { matchLabels: { app: 'w' } },
          },
        ],
      },
      { app: 'w' },
    );
  nodes[0]!.add(factsOf(spread()));
  expect(reason(spread(), ...nodes)).toBe('n2');
  nodes[1]!.node = { ...nodes[1]!.node, spec: { unschedulable: true } };
  expect(reason(spread(), ...nodes)).toBe(
    "1 node(s) didn't match pod topology spread constraints, 1 node(s) were unschedulable",
  );
});

test('the emptier node wins, and preferences outweigh it', () => {
  const nodes = [node('n1', { labels: { good: 'yes' } }), node('n2')];
  nodes[0]!.add(factsOf(pod({ containers: [{ name: 'c', resources: { requests: { cpu: '1' } } }] })));
  expect(reason(pod(), ...nodes)).toBe('n2');
  const preferring = pod({
    affinity: {
      nodeAffinity: {
        preferredDuringSchedulingIgnoredDuringExecution: [
          { weight: 1, preference: { matchExpressions: [{ key: 'good', operator: 'Exists' }] } },
        ],
      },
    },
  });
  expect(reason(preferring, ...nodes)).toBe('n1');
});
