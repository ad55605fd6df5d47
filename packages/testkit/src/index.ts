export * from './memory-api.ts';
export * from './kubectl.ts';
export * from './machine.ts';
