import { formatPlatform, type Platform } from '@wherry/oci';

/** The arguments that a build has of itself (Dockerfile reference, "Automatic platform ARGs in the global scope"). */
export function platformArguments(
  build: Platform,
  target: Platform,
  stage: string | undefined,
): Readonly<Record<string, string>> {
  return {
    TARGETPLATFORM: formatPlatform(target),
    TARGETOS: target.os,
    TARGETARCH: target.architecture,
    TARGETVARIANT: target.variant ?? '',
    BUILDPLATFORM: formatPlatform(build),
    BUILDOS: build.os,
    BUILDARCH: build.architecture,
    BUILDVARIANT: build.variant ?? '',
    TARGETSTAGE: stage ?? 'default',
  };
}
