import { WherryError } from '@wherry/base';
import { formatPlatform, type Platform } from '@wherry/oci';

/** Names that containerd takes for architectures. */
const architectures: Readonly<Record<string, Pick<Platform, 'architecture' | 'variant'>>> = {
  x86_64: { architecture: 'amd64' },
  'x86-64': { architecture: 'amd64' },
  aarch64: { architecture: 'arm64' },
  armhf: { architecture: 'arm', variant: 'v7' },
  armel: { architecture: 'arm', variant: 'v6' },
  i386: { architecture: '386' },
};

/** `linux/arm64/v8`, `linux`, `arm64`. Throws `invalid` in containerd's words. */
export function parsePlatform(text: string): Platform {
  const parts = text.toLowerCase().split('/');
  if (parts.length > 3) {
    const fault = `${JSON.stringify(text)}: cannot parse platform specifier: invalid argument`;
    throw new WherryError('invalid', `failed to parse platform ${text}: ${fault}`);
  }
  if (parts.some((part) => !/^[a-z0-9_-]+$/.test(part))) {
    throw new WherryError(
      'invalid',
      `failed to parse platform ${text}: ${JSON.stringify(text)} is an invalid component of ${JSON.stringify(text)}: platform specifier component must match "^[A-Za-z0-9_-]+$": invalid argument`,
    );
  }
  const [first = '', second, third] = parts;
  const isOs = second !== undefined || first === 'linux' || first === 'windows' || first === 'darwin';
  const architecture = isOs ? (second ?? hostArchitecture()) : first;
  const known = architectures[architecture] ?? { architecture };
  const variant = third ?? known.variant;
  return { os: isOs ? first : 'linux', architecture: known.architecture, ...(variant && { variant }) };
}

function hostArchitecture(): string {
  return process.arch === 'x64' ? 'amd64' : process.arch;
}

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
