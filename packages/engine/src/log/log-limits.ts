import type { ContainerConfig } from '@wherry/runtime';

/** `ContainerConfig.logRotation`. */
export type LogLimits = NonNullable<ContainerConfig['logRotation']>;
