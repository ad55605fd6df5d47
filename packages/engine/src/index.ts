export { createEngine } from './engine.ts';
export type { Engine, EngineOptions, OciRuntimeOptions } from './options.ts';
export { defaultSeccompProfile } from './spec/seccomp.ts';
