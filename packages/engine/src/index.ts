export { createEngine } from './engine.ts';
export type { Engine, EngineOptions, RegisteredRuntime } from './options.ts';
export { builtInRuntime } from './runtime/oci-runtimes.ts';
export { defaultSeccompProfile } from './spec/seccomp.ts';
