export { type Controllers, type ControllersOptions, type ControllersParts, createControllers } from './controllers.ts';
export type { KindResource, KindSource } from './kinds.ts';
