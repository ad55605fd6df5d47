export * from './descriptors.ts';
export * from './find-program.ts';
export * from './free-memory.ts';
export { adoptOrphans } from './orphans.ts';
export * from './pidfd.ts';
export * from './pollable.ts';
export * from './run.ts';
export * from './seqpacket.ts';
export { type Child, type ExitStatus, type SpawnRequest, spawnProgram } from './spawn.ts';
