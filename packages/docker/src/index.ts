export * from './containers/containers.ts';
export * from './events.ts';
export * from './files/container-files.ts';
