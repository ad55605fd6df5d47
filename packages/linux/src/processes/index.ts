export * from './descriptors.ts';
export * from './find-program.ts';
export * from './pidfd.ts';
export * from './pollable.ts';
export * from './run.ts';
export * from './seqpacket.ts';
export * from './spawn.ts';
