export { type AccessRule, type Action, parseAccessRules } from './auth/access.ts';
export { createRegistry, type Registry, type RegistryOptions } from './registry.ts';
export type { Listener, ListenOptions } from './server.ts';
export type { BlobStore } from './storage/blob-store.ts';
export type { Quotas } from './storage/contents.ts';
