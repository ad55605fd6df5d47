export * from './namespace-sockets.ts';
export * from './network-namespace.ts';
export * from './sysctl.ts';
