import type { Descriptor, ImageConfig, Platform } from './image-spec.ts';

/** The platform of this process, in OCI's names (Go's GOOS and GOARCH). */
export function hostPlatform(architecture: string = process.arch): Platform {
  const names: Record<string, Platform> = {
    x64: { os: 'linux', architecture: 'amd64' },
    arm64: { os: 'linux', architecture: 'arm64', variant: 'v8' },
    arm: { os: 'linux', architecture: 'arm', variant: 'v7' },
    ia32: { os: 'linux', architecture: '386' },
  };
  return names[architecture] ?? { os: 'linux', architecture };
}

/** The variants that run on a variant, best first: newer arm runs older code. */
function variantsFor({ architecture, variant }: Platform): readonly (string | undefined)[] {
  if (architecture === 'arm64') return variant && variant !== 'v8' ? [variant, 'v8', undefined] : ['v8', undefined];
  if (architecture === 'arm') {
    const newest = Number(/^v([5-8])$/.exec(variant ?? 'v7')?.[1] ?? 7);
    return [...Array.from({ length: newest - 4 }, (_, n) => `v${newest - n}`), undefined];
  }
  return variant === undefined ? [undefined] : [variant, undefined];
}

/**
 * The entry of an index that suits a platform best, the first of equals, or `undefined`. Entries that
 * are no images (attestations have the platform `unknown/unknown`) are never chosen.
 */
export function selectPlatform(manifests: readonly Descriptor[], wanted: Platform): Descriptor | undefined {
  for (const variant of variantsFor(wanted)) {
    const found = manifests.find(
      ({ platform }) =>
        platform?.os === wanted.os &&
        platform.architecture === wanted.architecture &&
        (platform.variant || undefined) === variant,
    );
    if (found) return found;
  }
  // An index with a single entry that says nothing, as `docker save` and small tools write it.
  const only = manifests.length === 1 ? manifests[0] : undefined;
  return only && only.platform === undefined ? only : undefined;
}

/** What an image's config says that it runs on. */
export function platformOf({ os, architecture, variant }: ImageConfig): Platform {
  return { os, architecture, ...(variant === undefined || variant === '' ? {} : { variant }) };
}

/** Whether an image is one that was asked for by its platform. */
export function suitsPlatform(own: Platform, wanted: Platform): boolean {
  return selectPlatform([{ mediaType: '', digest: '', size: 0, platform: own }], wanted) !== undefined;
}

export function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, variant].filter((part) => part).join('/');
}
