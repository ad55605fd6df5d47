export * from './builder.ts';
export { applyChanges } from './config/apply-changes.ts';
export { createBuilder } from './create-builder.ts';
export { type PackOptions, packContext, packDockerfile } from './files/pack-context.ts';
export { type ClonedRepository, cloneRepository } from './git/clone-repository.ts';
export { isGitAddress } from './git/git-address.ts';
export type { BuilderImages, BuilderOptions } from './options.ts';
export {
  createEngineRunner,
  type EngineRunnerOptions,
  type StepEngine,
  type StepNetwork,
} from './run/engine-runner.ts';
export * from './step-runner.ts';
export { BuildFiles } from './threads/build-files.ts';
