export * from './key-pair.ts';
export * from './kubeconfig.ts';
export * from './pki.ts';
