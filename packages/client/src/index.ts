export * from './client.ts';
export * from './informer-contract.ts';
export * from './resources.ts';
