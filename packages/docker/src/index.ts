export * from './containers/containers.ts';
export * from './events.ts';
