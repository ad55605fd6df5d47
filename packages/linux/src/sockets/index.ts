export * from './namespace-sockets.ts';
export * from './network-namespace.ts';
export * from './receive.ts';
export * from './send-file.ts';
export * from './sysctl.ts';
