/** Wherry's own version. */
export const wherryVersion = '0.1.0';

/** The Kubernetes release whose API is served: that of the pinned type definitions. */
export const kubernetesVersion = `v1.36.0+wherry.${wherryVersion}`;
