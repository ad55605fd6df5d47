import { describe, expect, it } from 'vitest';
import { formatPlatform, parsePlatform, selectPlatform, suitsPlatform } from './index.ts';

const entries = (...platforms: string[]) =>
  platforms.map((text) => {
    const [os = '', architecture = '', variant] = text.split('/');
    return { mediaType: '', digest: text, size: 0, platform: { os, architecture, ...(variant && { variant }) } };
  });

describe('the best image of an index', () => {
  it.each([
    ['linux/amd64', ['linux/arm64', 'linux/386', 'linux/amd64'], 'linux/amd64'],
    ['linux/amd64', ['linux/arm64', 'linux/386'], 'linux/386'],
    ['linux/amd64', ['linux/amd64/v2', 'linux/amd64/v1'], 'linux/amd64/v1'],
    ['linux/amd64', ['linux/amd64/v3'], undefined],
    ['linux/amd64/v4', ['linux/amd64', 'linux/amd64/v2', 'linux/amd64/v3'], 'linux/amd64/v3'],
    ['linux/amd64/v4', ['linux/amd64'], 'linux/amd64'],
    ['linux/arm/v7', ['linux/arm/v5', 'linux/arm/v6', 'linux/arm/v8'], 'linux/arm/v6'],
    ['linux/arm', ['linux/arm/v6', 'linux/arm/v7'], 'linux/arm/v7'],
    ['linux/arm/v6', ['linux/arm', 'linux/arm/v5'], 'linux/arm/v5'],
    ['linux/arm64', ['linux/arm/v7', 'linux/arm64/v8'], 'linux/arm64/v8'],
    ['linux/arm64/v8', ['linux/arm/v7', 'linux/arm64'], 'linux/arm64'],
    ['linux/arm64', ['linux/arm/v5', 'linux/arm/v7'], 'linux/arm/v7'],
    ['linux/arm64/v9', ['linux/arm64'], 'linux/arm64'],
    ['linux/386', ['linux/amd64'], undefined],
    ['linux/riscv64', ['linux/amd64', 'linux/riscv64'], 'linux/riscv64'],
    ['linux/amd64', ['windows/amd64', 'unknown/unknown'], undefined],
  ])('for %s of %j', (wanted, platforms, best) =>
    expect(selectPlatform(entries(...platforms), parsePlatform(wanted))?.digest).toBe(best),
  );

  it('is an only one that says nothing', () => {
    const silent = { mediaType: '', digest: 'silent', size: 0 };
    expect(selectPlatform([silent], parsePlatform('linux/amd64'))).toBe(silent);
    expect(selectPlatform([silent, silent], parsePlatform('linux/amd64'))).toBeUndefined();
  });
});

it.each([
  ['linux/arm', 'linux/arm/v5', true],
  ['linux/arm/v6', 'linux/arm/v5', false],
  ['linux/386', 'linux/amd64', true],
  ['linux/amd64', 'linux/amd64/v4', true],
  ['linux/amd64/v3', 'linux/amd64', false],
])('an image for %s suits %s: %s', (own, wanted, suits) => {
  const [os = '', architecture = '', variant] = own.split('/');
  expect(suitsPlatform({ os, architecture, ...(variant && { variant }) }, parsePlatform(wanted))).toBe(suits);
});

it('an image without a platform suits none, and is called unknown', () => {
  const none = { os: '', architecture: '' };
  expect(suitsPlatform(none, parsePlatform('linux/amd64'))).toBe(false);
  expect(formatPlatform(none)).toBe('unknown');
  expect(formatPlatform({ os: 'linux', architecture: 'arm', variant: 'v7' })).toBe('linux/arm/v7');
});
