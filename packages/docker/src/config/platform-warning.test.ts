import type { ImageConfig } from '@wherry/oci';
import { expect, it } from 'vitest';
import { amd64Level, platformWarning } from './platform-warning.ts';

const host = { os: 'linux', architecture: 'amd64', variant: 'v3' };
const warningOf = (os: string, architecture: string, variant?: string): string | undefined =>
  platformWarning({ os, architecture, ...(variant && { variant }) } as ImageConfig, host);

it('warns of images of other platforms', () => {
  expect(warningOf('linux', 'amd64')).toBeUndefined();
  expect(warningOf('linux', 'amd64', 'v2')).toBeUndefined();
  expect(warningOf('linux', '386')).toBeUndefined();
  const rest = 'does not match the detected host platform (linux/amd64/v3) and no specific platform was requested';
  expect(warningOf('linux', 'arm64')).toBe(`The requested image's platform (linux/arm64) ${rest}`);
  expect(warningOf('linux', 'arm', 'v7')).toBe(`The requested image's platform (linux/arm/v7) ${rest}`);
  expect(warningOf('', '')).toBe(`The requested image's platform (unknown) ${rest}`);
});

it('knows the level of a processor', () => {
  const second = 'fpu cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3';
  expect(amd64Level('flags : fpu cx16')).toBe('v1');
  expect(amd64Level(`processor\t: 0\nflags\t\t: ${second}\nbugs : x\n`)).toBe('v2');
  expect(amd64Level(`flags : ${second} avx512f avx512bw avx512cd avx512dq avx512vl`)).toBe('v2');
  expect(amd64Level(`flags : ${second} avx avx2 bmi1 bmi2 f16c fma movbe xsave`)).toBe('v3');
});
