import { createTestCluster, type TestCluster, type TestClusterOptions } from '@wherry/testkit';
import { afterAll, beforeAll } from 'vitest';

/** A cluster with the test images, for all tests of a file. */
export function useCluster(options: TestClusterOptions = {}): { readonly it: TestCluster } {
  const holder: { cluster?: TestCluster } = {};
  beforeAll(async () => {
    const cluster = await createTestCluster(options);
    holder.cluster = cluster;
    await cluster.loadTestImages();
  });
  afterAll(async () => {
    await holder.cluster?.[Symbol.asyncDispose]();
  });
  return {
    get it() {
      return holder.cluster!;
    },
  };
}

/** Deployment and Service of a web server, as YAML. */
export const webManifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: c, image: "nginx:1.22", ports: [{containerPort: 80}], readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 8080, targetPort: 80, nodePort: 30320}]}
`;

/** A pod that sleeps, for exec. */
export const sleeper = (name: string): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, labels: {app: ${name}}}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: "busybox:1.35", command: [sleep, "3600"]}]
`;
