export * from './bridge-network.ts';
export * from './container-networks.ts';
export * from './network.ts';
