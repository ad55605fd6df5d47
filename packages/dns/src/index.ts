export * from './cluster-source.ts';
export * from './dns-server.ts';
export * from './source.ts';
