export * from './kinds.ts';
export * from './loopback.ts';
export * from './mount-namespace.ts';
export * from './pinned.ts';
export * from './switch.ts';
