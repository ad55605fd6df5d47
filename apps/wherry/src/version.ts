/** Set when the product is built; a run from the sources has none. */
declare const __WHERRY_BUILD__: { readonly commit: string; readonly time: string } | undefined;

/** Wherry's own version. */
export const wherryVersion = '0.1.0';

/** What it was built of, and when (RFC 3339); both empty where that is not known. */
export const build = typeof __WHERRY_BUILD__ === 'undefined' ? { commit: '', time: '' } : __WHERRY_BUILD__;

/** The Kubernetes release whose API is served: that of the pinned type definitions. */
export const kubernetesVersion = `v1.36.0+wherry.${wherryVersion}`;
