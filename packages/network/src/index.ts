export * from './bridge-network.ts';
export * from './network.ts';
