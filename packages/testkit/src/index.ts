export * from './memory-api.ts';
