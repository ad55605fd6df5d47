import { describe, expect, it } from 'vitest';
import { parsePlatform } from './parse-platform.ts';
import { hostPlatform } from './platform.ts';

const { architecture } = hostPlatform();
const systemPart = String.raw`OSAndVersion specifier component must match "^([A-Za-z0-9_-]+)(?:\\(([A-Za-z0-9_.-]*)\\))?$"`;

describe('platforms are read as containerd reads them', () => {
  it.each([
    ['linux/arm64/v8', { os: 'linux', architecture: 'arm64', variant: 'v8' }],
    ['Linux/AMD64', { os: 'linux', architecture: 'amd64' }],
    ['linux/x86_64', { os: 'linux', architecture: 'amd64' }],
    ['armhf', { os: 'linux', architecture: 'arm', variant: 'v7' }],
    ['arm64', { os: 'linux', architecture: 'arm64' }],
    ['linux', { os: 'linux', architecture }],
    ['macos', { os: 'darwin', architecture }],
    ['windows(10.0.17763)/amd64', { os: 'windows', architecture: 'amd64' }],
    ['plan/nine', { os: 'plan', architecture: 'nine' }],
  ])('%s', (text, platform) => expect(parsePlatform(text)).toEqual(platform));

  it.each([
    ['bogus', '"bogus": unknown operating system or architecture: invalid argument'],
    ['a/b/c/d', '"a/b/c/d": cannot parse platform specifier: invalid argument'],
    ['', `"" is an invalid OS component of "": ${systemPart}: invalid argument`],
    ['!', `"!" is an invalid OS component of "!": ${systemPart}: invalid argument`],
    [
      'linux/A!',
      '"A!" is an invalid component of "linux/A!": platform specifier component must match "^[A-Za-z0-9_-]+$": invalid argument',
    ],
  ])('not %s', (text, words) => expect(() => parsePlatform(text)).toThrow(words));
});
