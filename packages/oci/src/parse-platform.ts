import { WherryError } from '@wherry/base';
import type { Platform } from './image-spec.ts';
import { hostPlatform } from './platform.ts';

/** What Go knows as GOOS. */
const systems: ReadonlySet<string> = new Set(
  'aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris windows zos'.split(
    ' ',
  ),
);

/** What Go knows as GOARCH. */
const architectures: ReadonlySet<string> = new Set(
  '386 amd64 amd64p32 arm armbe arm64 arm64be loong64 mips mipsle mips64 mips64le mips64p32 mips64p32le ppc ppc64 ppc64le riscv riscv64 s390 s390x sparc sparc64 wasm'.split(
    ' ',
  ),
);

/** Other names of architectures that containerd takes. */
const aliases: Readonly<Record<string, Pick<Platform, 'architecture' | 'variant'>>> = {
  x86_64: { architecture: 'amd64' },
  'x86-64': { architecture: 'amd64' },
  aarch64: { architecture: 'arm64' },
  armhf: { architecture: 'arm', variant: 'v7' },
  armel: { architecture: 'arm', variant: 'v6' },
  i386: { architecture: '386' },
};

const component = /^[a-z0-9_-]+$/;
const systemComponent = /^([a-z0-9_-]+)(?:\([a-z0-9_.-]*\))?$/;

/**
 * Reads a platform as users write it: `linux/arm64/v8`, `linux/arm64`, or one of system (`linux`) and architecture
 * (`arm64`). Throws `invalid` in the words of containerd's platforms.
 */
export function parsePlatform(text: string): Platform {
  const parts = text.toLowerCase().split('/');
  checkComponents(text, parts);
  const first = systemComponent.exec(parts[0]!)![1]!;
  const [, second, third] = parts;
  if (second === undefined) {
    if (isSystem(first)) return { os: systemOf(first), architecture: hostPlatform().architecture };
    const alone = architectureOf(first);
    if (architectures.has(alone.architecture)) return { os: 'linux', ...alone };
    throw new WherryError('invalid', `${quoted(text)}: unknown operating system or architecture: invalid argument`);
  }
  if (parts.length > 3)
    throw new WherryError('invalid', `${quoted(text)}: cannot parse platform specifier: invalid argument`);
  const named = architectureOf(second);
  return { os: systemOf(first), ...named, ...(third !== undefined && { variant: third }) };
}

function checkComponents(text: string, parts: readonly string[]): void {
  const odd = parts.findIndex((part, index) => !(index === 0 ? systemComponent : component).test(part));
  if (odd < 0) return;
  const kind = odd === 0 ? 'OS component' : 'component';
  const wanted =
    odd === 0
      ? String.raw`OSAndVersion specifier component must match "^([A-Za-z0-9_-]+)(?:\\(([A-Za-z0-9_.-]*)\\))?$"`
      : 'platform specifier component must match "^[A-Za-z0-9_-]+$"';
  const words = `${quoted(text.split('/')[odd]!)} is an invalid ${kind} of ${quoted(text)}`;
  throw new WherryError('invalid', `${words}: ${wanted}: invalid argument`);
}

function isSystem(name: string): boolean {
  return systems.has(systemOf(name));
}

function systemOf(name: string): string {
  return name === 'macos' ? 'darwin' : name;
}

function architectureOf(name: string): Pick<Platform, 'architecture' | 'variant'> {
  return aliases[name] ?? { architecture: name };
}

function quoted(text: string): string {
  return JSON.stringify(text);
}
