export * from '../generated/types.ts';
export * from './field-error.ts';
export * from './kind.ts';
export * from './kinds/index.ts';
export * from './patch/index.ts';
export * from './schema/index.ts';
export * from './status.ts';
