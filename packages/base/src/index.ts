export * from './async.ts';
export * from './clock.ts';
export * from './disposal.ts';
export * from './errors.ts';
export * from './files.ts';
export * from './ip.ts';
export * from './log.ts';
export * from './random.ts';
