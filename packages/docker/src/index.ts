export { checkLimits, type Limits } from './config/check-limits.ts';
export * from './containers/containers.ts';
export { createDockerContainers, type OpenDockerContainers } from './containers/docker-containers.ts';
export type { DockerContainersOptions, HostView, ImageSettings } from './containers/options.ts';
export { createEventLog, type EventLogOptions } from './event-log.ts';
export * from './events.ts';
export * from './files/container-files.ts';
export { createContainerFiles } from './files/create-container-files.ts';
export { formatNano, type NanoClock, parseNano, strictlyRising, systemNanoClock } from './times.ts';
