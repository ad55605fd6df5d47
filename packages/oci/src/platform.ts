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

interface Machine {
  readonly architecture: string;
  readonly variant?: string | undefined;
}

/** As variants are compared: those that go without saying are left out, or named, as containerd's platforms have it. */
function normalized({ architecture, variant }: Machine): Machine {
  const plain = variant?.replace(/^(?=\d)/, 'v') || undefined;
  if (architecture === 'arm') return { architecture, variant: plain ?? 'v7' };
  const goesWithoutSaying = { amd64: 'v1', arm64: 'v8' }[architecture];
  return { architecture, variant: plain === goesWithoutSaying ? undefined : plain };
}

/** What runs on a machine, best first: newer variants run older code, and machines of 64 bits that of 32. */
function runnableOn(machine: Machine): readonly Machine[] {
  const { architecture, variant } = normalized(machine);
  const level = Number(/^v(\d)/.exec(variant ?? '')?.[1] ?? 0);
  const down = (to: number): Machine[] =>
    Array.from({ length: Math.max(level - to, 0) }, (_, n) =>
      normalized({ architecture, variant: `v${level - 1 - n}` }),
    );
  switch (architecture) {
    case 'amd64':
      return [{ architecture, variant }, ...down(1), { architecture: '386' }];
    case 'arm':
      return [{ architecture, variant }, ...down(5)];
    case 'arm64': {
      const plain = variant === undefined ? [] : [{ architecture }];
      return [{ architecture, variant }, ...plain, ...runnableOn({ architecture: 'arm', variant: 'v8' })];
    }
    default:
      return [{ architecture, variant }, ...(variant === undefined ? [] : [{ architecture }])];
  }
}

/**
 * The entry of an index that suits a platform best, the first of equals, or `undefined`. Entries that
 * are no images (attestations have the platform `unknown/unknown`) are never chosen.
 */
export function selectPlatform(manifests: readonly Descriptor[], wanted: Platform): Descriptor | undefined {
  for (const machine of runnableOn(wanted)) {
    const found = manifests.find(({ platform }) => {
      if (platform?.os !== wanted.os) return false;
      const { architecture, variant } = normalized(platform);
      return architecture === machine.architecture && variant === machine.variant;
    });
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

/** Whether an image is one that was asked for by its platform. Many configs say nothing of a variant, and are any. */
export function suitsPlatform(own: Platform, wanted: Platform): boolean {
  if (!own.variant && own.os === wanted.os && own.architecture === wanted.architecture) return true;
  return selectPlatform([{ mediaType: '', digest: '', size: 0, platform: own }], wanted) !== undefined;
}

/** As it is written and asked for; `unknown` without a system. */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  if (!os) return 'unknown';
  return [os, architecture, variant].filter((part) => part).join('/');
}
