export * from './admission/contract.ts';
export { defaultAdmissionPlugins } from './admission/index.ts';
export * from './auth/index.ts';
export type { ApiServerOptions, CacheReader, FromReader, VersionInfo } from './options.ts';
export { type ApiServer, createApiServer } from './server.ts';
