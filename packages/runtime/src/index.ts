export * from './pod-streams.ts';
export * from './runtime.ts';
