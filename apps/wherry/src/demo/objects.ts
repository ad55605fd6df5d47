import type { KubeObject, ResourceId } from '@wherry/client';
import { resources } from '@wherry/client';
import { nodePath } from '../node-image/node-files.ts';
import { serverPath } from './server.ts';

export const demoNamespace = 'demo';
export const demoImage = 'wherry.local/demo:latest';
export const demoNodePort = 30080;

const labels = { app: 'hello' };
const fieldEnv = (name: string, fieldPath: string) => ({ name, valueFrom: { fieldRef: { fieldPath } } });

/** The demo, in the order in which it is applied: a namespace, a config map, a Deployment of two pods, a Service. */
export function demoObjects(): readonly { readonly resource: ResourceId; readonly object: KubeObject }[] {
  const metadata = (name: string) => ({ name, namespace: demoNamespace, labels });
  const container = {
    name: 'hello',
    image: demoImage,
    imagePullPolicy: 'IfNotPresent',
    command: [nodePath, serverPath],
    ports: [{ name: 'http', containerPort: 8080 }],
    env: [fieldEnv('POD_IP', 'status.podIP'), fieldEnv('NODE_NAME', 'spec.nodeName')],
    readinessProbe: { httpGet: { path: '/healthz', port: 'http' }, periodSeconds: 1 },
    resources: { requests: { cpu: '10m', memory: '32Mi' }, limits: { memory: '128Mi' } },
    securityContext: {
      runAsUser: 1000,
      runAsGroup: 1000,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
    },
    volumeMounts: [{ name: 'config', mountPath: '/etc/demo' }],
  };
  const template = {
    metadata: { labels },
    spec: {
      terminationGracePeriodSeconds: 2,
      containers: [container],
      volumes: [{ name: 'config', configMap: { name: 'hello' } }],
    },
  };
  const of = (apiVersion: string, kind: string, rest: object): KubeObject => ({ apiVersion, kind, ...rest });
  return [
    { resource: resources.namespaces, object: of('v1', 'Namespace', { metadata: { name: demoNamespace } }) },
    {
      resource: resources.configMaps,
      object: of('v1', 'ConfigMap', { metadata: metadata('hello'), data: { greeting: 'Hello' } }),
    },
    {
      resource: resources.deployments,
      object: of('apps/v1', 'Deployment', {
        metadata: metadata('hello'),
        spec: { replicas: 2, selector: { matchLabels: labels }, template },
      }),
    },
    {
      resource: resources.services,
      object: of('v1', 'Service', {
        metadata: metadata('hello'),
        spec: {
          type: 'NodePort',
          selector: labels,
          ports: [{ name: 'http', port: 80, targetPort: 'http', nodePort: demoNodePort }],
        },
      }),
    },
  ];
}
