export * from './kubeconfig.ts';
export * from './pki.ts';
