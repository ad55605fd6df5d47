export * from './cluster.ts';
export * from './docker-client.ts';
export * from './docker-images.ts';
export * from './images.ts';
export * from './kubectl.ts';
export * from './machine.ts';
export * from './memory-api.ts';
export * from './running.ts';
