export * from './container-engine.ts';
export * from './pod-streams.ts';
export * from './resources.ts';
export * from './runtime.ts';
export * from './user-mappings.ts';
