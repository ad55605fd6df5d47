export * from './engine-api.ts';
export type { EngineApiOptions, EngineImages } from './options.ts';
export * from './system/facts.ts';
