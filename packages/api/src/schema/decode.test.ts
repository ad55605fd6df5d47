import { describe, expect, it } from 'vitest';
import { decodeObject } from './decode.ts';

function decoded(schema: string, value: unknown) {
  const result = decodeObject(schema, value);
  if (!result.ok) throw new Error(result.message);
  return result;
}

function failure(schema: string, value: unknown): string {
  const result = decodeObject(schema, value);
  return result.ok ? 'no failure' : result.message;
}

describe('normal form', () => {
  it('drops nulls and zero values that say nothing, and keeps those that do', () => {
    const { object, unknownFields } = decoded('V1Pod', {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'a', creationTimestamp: null, labels: {}, finalizers: [], generateName: '' },
      spec: {
        containers: [
          {
            name: 'c',
            image: 'x',
            stdin: false,
            command: [],
            env: [{ name: 'E', value: '' }],
            readinessProbe: { initialDelaySeconds: 0, exec: {} },
          },
        ],
        hostNetwork: false,
        terminationGracePeriodSeconds: 0,
        automountServiceAccountToken: false,
        securityContext: {},
        volumes: [
          { name: 'v', emptyDir: {} },
          { name: 'h', hostPath: { path: '/', type: '' } },
        ],
        nodeSelector: null,
      },
    });
    expect(unknownFields).toEqual([]);
    expect(object).toEqual({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'a' },
      spec: {
        containers: [{ name: 'c', image: 'x', env: [{ name: 'E' }], readinessProbe: { exec: {} }, resources: {} }],
        terminationGracePeriodSeconds: 0,
        automountServiceAccountToken: false,
        securityContext: {},
        volumes: [
          { name: 'v', emptyDir: {} },
          { name: 'h', hostPath: { path: '/', type: '' } },
        ],
      },
      status: {},
    });
  });

  it('writes quantities and times in their canonical form', () => {
    const { object } = decoded('V1Pod', {
      metadata: { creationTimestamp: '2026-11-22T10:00:00+01:00' },
      spec: {
        containers: [{ name: 'c', resources: { limits: { cpu: '1000m', memory: '1024Ki' }, requests: { cpu: 0.5 } } }],
      },
    });
    expect(object).toMatchObject({
      metadata: { creationTimestamp: '2026-11-22T09:00:00Z' },
      spec: { containers: [{ resources: { limits: { cpu: '1', memory: '1Mi' }, requests: { cpu: '500m' } } }] },
    });
  });

  it('keeps replicas: 0 and an empty storage class', () => {
    expect(decoded('V1Deployment', { spec: { replicas: 0, minReadySeconds: 0 } }).object.spec).toEqual({
      replicas: 0,
      strategy: {},
    });
    expect(decoded('V1PersistentVolumeClaim', { spec: { storageClassName: '', volumeName: '' } }).object.spec).toEqual({
      storageClassName: '',
      resources: {},
    });
  });

  it('is a fixed point', () => {
    const once = decoded('V1Service', {
      metadata: { name: 's' },
      spec: { ports: [{ port: 80, nodePort: 0, targetPort: 'http' }], selector: {}, publishNotReadyAddresses: false },
    }).object;
    const text = JSON.stringify(once);
    expect(JSON.stringify(decoded('V1Service', JSON.parse(text)).object)).toBe(text);
    expect(once).toEqual({
      metadata: { name: 's' },
      spec: { ports: [{ port: 80, targetPort: 'http' }] },
      status: { loadBalancer: {} },
    });
  });

  it('does not change what is normal already', () => {
    const live = Object.freeze({ metadata: Object.freeze({ name: 'a' }), data: Object.freeze({ k: 'v' }) });
    expect(decoded('V1ConfigMap', live).object).toBe(live);
  });

  it('takes objects without a schema as they are', () => {
    expect(decoded('ExampleV1Widget', { a: null }).object).toEqual({ a: null });
  });
});

describe('unknown fields', () => {
  it('are removed and named with their path', () => {
    const { object, unknownFields } = decoded(
      'V1Pod',
      JSON.parse(
        '{"spec":{"foo":1,"containers":[{"name":"c","bar":{"x":1}}],"__proto__":{"polluted":true}},"metadata":{"labels":{"__proto__":"x"}}}',
      ),
    );
    expect(unknownFields).toEqual(['spec.foo', 'spec.containers[0].bar', 'spec.__proto__']);
    expect(object).toEqual({
      spec: { containers: [{ name: 'c', resources: {} }] },
      metadata: { labels: JSON.parse('{"__proto__":"x"}') },
      status: {},
    });
    expect(({} as { polluted?: boolean }).polluted).toBe(undefined);
  });
});

describe('failures, worded as Go does', () => {
  it.each([
    [
      'V1Deployment',
      { spec: { replicas: '3' } },
      'json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32',
    ],
    [
      'V1Deployment',
      { spec: { replicas: 1.5 } },
      'json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32',
    ],
    [
      'V1Deployment',
      { spec: { replicas: 2 ** 31 } },
      'json: cannot unmarshal number 2147483648 into Go struct field DeploymentSpec.spec.replicas of type int32',
    ],
    [
      'V1Pod',
      { spec: { containers: {} } },
      'json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container',
    ],
    [
      'V1Pod',
      { spec: { containers: [{ ports: 'x' }] } },
      'json: cannot unmarshal string into Go struct field Container.spec.containers.ports of type []v1.ContainerPort',
    ],
    [
      'V1ConfigMap',
      { data: { a: 1 } },
      'json: cannot unmarshal number into Go struct field ConfigMap.data of type string',
    ],
    [
      'V1Pod',
      { metadata: { labels: { a: true } } },
      'json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string',
    ],
    ['V1Pod', [], 'json: cannot unmarshal array into Go value of type v1.Pod'],
    ['V1Secret', { data: { a: '***' } }, 'illegal base64 data at input byte 0'],
    ['V1Secret', { data: { a: 'YWI' } }, 'illegal base64 data at input byte 0'],
    ['V1Secret', { data: { a: 'YWJjZA==YQ==' } }, 'illegal base64 data at input byte 8'],
    [
      'V1Pod',
      { spec: { containers: [{ resources: { limits: { cpu: 'lots' } } }] } },
      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    ],
    [
      'V1Pod',
      { metadata: { creationTimestamp: 'now' } },
      'parsing time "now" as "2006-01-02T15:04:05Z07:00": cannot parse "now" as "2006"',
    ],
    [
      'V1Service',
      { spec: { ports: [{ targetPort: {} }] } },
      'json: cannot unmarshal object into Go value of type int32',
    ],
  ])('%s %j', (schema, value, message) => {
    expect(failure(schema, value)).toBe(message);
  });
});
