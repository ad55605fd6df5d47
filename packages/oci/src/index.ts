export * from './digest.ts';
export * from './image-spec.ts';
export * from './parse-platform.ts';
export * from './platform.ts';
export * from './reference.ts';
export * from './registry-address.ts';
export * from './runtime-spec.ts';
