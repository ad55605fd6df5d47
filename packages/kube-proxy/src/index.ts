export * from './kube-proxy.ts';
