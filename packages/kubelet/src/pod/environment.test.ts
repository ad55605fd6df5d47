import type { V1Container, V1Pod, V1Service } from '@wherry/api';
import { describe, expect, it } from 'vitest';
import { containerEnvironment, type EnvironmentSources } from './environment.ts';
import { expand } from './expansion.ts';
import { serviceEnvironment } from './service-environment.ts';

describe('expand', () => {
  it.each([
    ['arg $(K) $(NOPE) $$(K)', 'arg 9 $(NOPE) $(K)'],
    ['$', '$'],
    ['$$', '$'],
    ['$(', '$('],
    ['$(K', '$(K'],
    ['a$b$(K)', 'a$b9'],
    ['$()', '$()'],
  ])('%s', (text, wanted) => {
    expect(expand(text, (name) => ({ K: '9' })[name])).toBe(wanted);
  });
});

const service = (name: string, namespace: string, clusterIP: string, ...ports: object[]): V1Service =>
  ({ metadata: { name, namespace }, spec: { clusterIP, ports } }) as V1Service;
const services = [
  service('kubernetes', 'default', '10.96.0.1', { name: 'https', port: 443 }),
  service('test-web', 'shop', '10.96.0.9', { port: 8080 }),
  service('head', 'shop', 'None', { port: 80 }),
  service('other', 'elsewhere', '10.96.0.7', { port: 1 }),
];

describe('service variables', () => {
  it('name the services of the namespace and the API', () => {
    expect(Object.fromEntries(serviceEnvironment(services, 'shop', true))).toEqual({
      KUBERNETES_SERVICE_HOST: '10.96.0.1',
      KUBERNETES_SERVICE_PORT: '443',
      KUBERNETES_SERVICE_PORT_HTTPS: '443',
      KUBERNETES_PORT: 'tcp://10.96.0.1:443',
      KUBERNETES_PORT_443_TCP: 'tcp://10.96.0.1:443',
      KUBERNETES_PORT_443_TCP_PROTO: 'tcp',
      KUBERNETES_PORT_443_TCP_PORT: '443',
      KUBERNETES_PORT_443_TCP_ADDR: '10.96.0.1',
      TEST_WEB_SERVICE_HOST: '10.96.0.9',
      TEST_WEB_SERVICE_PORT: '8080',
      TEST_WEB_PORT: 'tcp://10.96.0.9:8080',
      TEST_WEB_PORT_8080_TCP: 'tcp://10.96.0.9:8080',
      TEST_WEB_PORT_8080_TCP_PROTO: 'tcp',
      TEST_WEB_PORT_8080_TCP_PORT: '8080',
      TEST_WEB_PORT_8080_TCP_ADDR: '10.96.0.9',
    });
  });

  it('are only those of the API without links', () => {
    expect(
      [...serviceEnvironment(services, 'shop', false).keys()].every((name) => name.startsWith('KUBERNETES_')),
    ).toBe(true);
  });
});

describe('the environment of a container', () => {
  const pod = {
    metadata: { name: 'p', namespace: 'shop', labels: { app: 'x' } },
    spec: { nodeName: 'node1' },
  } as unknown as V1Pod;
  const sources: EnvironmentSources = {
    pod,
    facts: { allocatable: { cpu: '2', memory: '1Gi' }, hostIps: ['1.2.3.4'], podIps: ['10.0.0.1'] },
    services: [],
    configMap: async (name) => (name === 'params' ? { data: { k: '9', q: '42', 'a=b': 'no' } } : undefined),
    secret: async (name) => (name === 'db' ? { data: { password: Buffer.from('p w').toString('base64') } } : undefined),
  };
  const of = async (container: Partial<V1Container>): Promise<Record<string, string>> => {
    const { variables } = await containerEnvironment({ name: 'c', ...container }, sources);
    return Object.fromEntries(variables.map(({ name, value }) => [name, value]));
  };

  it('comes from everywhere', async () => {
    const resources = { limits: { cpu: '250m', memory: '64Mi' }, requests: { memory: '32Mi' } };
    const found = await of({
      resources,
      envFrom: [
        { configMapRef: { name: 'params' } },
        { secretRef: { name: 'db' }, prefix: 'DB_' },
        { secretRef: { name: 'no', optional: true } },
      ],
      env: [
        { name: 'q', value: '$(k)$(NOPE)' },
        { name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
        { name: 'LAB', valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
        { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
        { name: 'CPU', valueFrom: { resourceFieldRef: { resource: 'limits.cpu', divisor: '1m' } } },
        { name: 'CORES', valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } } },
        { name: 'MEM', valueFrom: { resourceFieldRef: { resource: 'requests.memory' } } },
        { name: 'OPT', valueFrom: { configMapKeyRef: { name: 'none', key: 'k', optional: true } } },
      ],
    });
    expect(found).toEqual({
      k: '9',
      q: '9$(NOPE)',
      DB_password: 'p w',
      NODE: 'node1',
      LAB: 'x',
      IP: '10.0.0.1',
      CPU: '250',
      CORES: '1',
      MEM: '33554432',
    });
  });

  it.each([
    [{ configMapKeyRef: { name: 'later', key: 'a' } }, 'configmap "later" not found'],
    [{ configMapKeyRef: { name: 'params', key: 'zz' } }, "couldn't find key zz in ConfigMap shop/params"],
    [{ secretKeyRef: { name: 'later', key: 'a' } }, 'secret "later" not found'],
  ])('names what is missing: %j', async (valueFrom, message) => {
    await expect(of({ env: [{ name: 'A', valueFrom }] })).rejects.toMatchObject({ code: 'notFound', message });
  });
});
