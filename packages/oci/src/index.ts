export * from './image-spec.ts';
export * from './reference.ts';
export * from './runtime-spec.ts';
