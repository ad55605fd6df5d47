import { formatPlatform, type ImageConfig, type Platform, platformOf } from '@wherry/oci';

/** Architectures whose programs run on another one, too. */
const alsoRuns: Readonly<Record<string, readonly string[]>> = { amd64: ['386'], arm64: ['arm'] };

/**
 * Warns of an image that is not of the machine's platform, where none was asked for; `undefined` where there is nothing
 * to say.
 */
export function platformWarning(image: ImageConfig, host: Platform): string | undefined {
  const own = platformOf(image);
  const runs = [host.architecture, ...(alsoRuns[host.architecture] ?? [])];
  if (own.os === host.os && runs.includes(own.architecture)) return undefined;
  const words = `The requested image's platform (${formatPlatform(own)}) does not match the detected host platform`;
  return `${words} (${formatPlatform(host)}) and no specific platform was requested`;
}

/**
 * What each level of the x86-64 psABI asks of a processor, by the kernel's names for it; without lzcnt (`abm`), which
 * hypervisors leave out of what they tell.
 */
const levels = [
  ['v2', 'cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3'],
  ['v3', 'avx avx2 bmi1 bmi2 f16c fma movbe xsave'],
  ['v4', 'avx512f avx512bw avx512cd avx512dq avx512vl'],
] as const;

/** The level of an amd64 processor: `v1` to `v4`. Takes `/proc/cpuinfo`. */
export function amd64Level(cpuinfo: string): string {
  const flags = new Set(/^flags\s*:\s*(.*)$/m.exec(cpuinfo)?.[1]?.split(' '));
  let level = 'v1';
  for (const [name, wanted] of levels) {
    if (!wanted.split(' ').every((flag) => flags.has(flag))) break;
    level = name;
  }
  return level;
}
