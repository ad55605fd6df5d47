export { type EmbeddedStoreOptions, openEmbeddedStore } from './embedded/embedded-store.ts';
export { createMemoryStore } from './memory-store.ts';
export type { MvccOptions } from './mvcc-store.ts';
export * from './store.ts';
