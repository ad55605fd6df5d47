import { describe, expect, it } from 'vitest';
import type { Descriptor } from './image-spec.ts';
import { hostPlatform, selectPlatform } from './platform.ts';
import { familiarReference, formatReference, parseReference } from './reference.ts';

const digest = `sha256:${'a1'.repeat(32)}`;

describe('references', () => {
  it.each([
    ['busybox', 'docker.io/library/busybox:latest', 'busybox:latest'],
    ['busybox:1.35', 'docker.io/library/busybox:1.35', 'busybox:1.35'],
    ['user/app', 'docker.io/user/app:latest', 'user/app:latest'],
    ['docker.io/busybox', 'docker.io/library/busybox:latest', 'busybox:latest'],
    ['index.docker.io/library/busybox', 'docker.io/library/busybox:latest', 'busybox:latest'],
    ['docker.io/library/a/b', 'docker.io/library/a/b:latest', 'library/a/b:latest'],
    ['localhost/app', 'localhost/app:latest', 'localhost/app:latest'],
    ['localhost:1/nope:v1', 'localhost:1/nope:v1', 'localhost:1/nope:v1'],
    ['127.0.0.1:5000/a/b/c:t', '127.0.0.1:5000/a/b/c:t', '127.0.0.1:5000/a/b/c:t'],
    ['[::1]:5000/app', '[::1]:5000/app:latest', '[::1]:5000/app:latest'],
    ['ghcr.io/a/b__c.d-e', 'ghcr.io/a/b__c.d-e:latest', 'ghcr.io/a/b__c.d-e:latest'],
    ['Host/app', 'Host/app:latest', 'Host/app:latest'],
    [`busybox@${digest}`, `docker.io/library/busybox@${digest}`, `busybox@${digest}`],
    [`busybox:1@${digest}`, `docker.io/library/busybox:1@${digest}`, `busybox:1@${digest}`],
  ])('reads %s', (text, full, familiar) => {
    const reference = parseReference(text);
    expect(formatReference(reference)).toBe(full);
    expect(familiarReference(reference)).toBe(familiar);
    expect(parseReference(full)).toEqual(reference);
  });

  it.each([
    '',
    ' ',
    'Busybox',
    'a:b:c',
    'a/:b',
    'a//b',
    '/a',
    'a/',
    'a_-b',
    'a___b',
    'a:',
    `a:${'x'.repeat(129)}`,
    'a@sha256:abc',
    'a@md5:d41d8cd98f00b204e9800998ecf8427e',
    `${'a/'.repeat(128)}a`,
    'a.b.c/../d',
    'http://host/a',
    'host:port/a',
    '-host.x/a',
    'busybox\n',
    'a'.repeat(64),
  ])('refuses %j', (text) => {
    expect(() => parseReference(text)).toThrow(expect.objectContaining({ code: 'invalid' }));
  });

  it('uses the words of upstream', () => {
    expect(() => parseReference('a:b:c')).toThrow('invalid reference format');
    expect(() => parseReference('BusyBox')).toThrow(
      'invalid reference format: repository name (library/BusyBox) must be lowercase',
    );
    expect(() => parseReference('$X')).toThrow('repository name (library/$X) must be lowercase');
    expect(() => parseReference('A:b:c')).toThrow(/^invalid reference format: repository name \(library\/A\) must/);
  });
});

describe('platforms', () => {
  const entry = (platform?: Descriptor['platform']): Descriptor => ({
    mediaType: 'm',
    digest: `sha256:${JSON.stringify(platform ?? null)}`,
    size: 1,
    ...(platform && { platform }),
  });
  it('chooses the best variant', () => {
    const arm6 = entry({ os: 'linux', architecture: 'arm', variant: 'v6' });
    const arm7 = entry({ os: 'linux', architecture: 'arm', variant: 'v7' });
    const arm64 = entry({ os: 'linux', architecture: 'arm64' });
    const amd64 = entry({ os: 'linux', architecture: 'amd64' });
    const unknown = entry({ os: 'unknown', architecture: 'unknown' });
    const all = [unknown, arm6, arm7, arm64, amd64];
    expect(selectPlatform(all, hostPlatform('arm'))).toBe(arm7);
    expect(selectPlatform([arm6], hostPlatform('arm'))).toBe(arm6);
    expect(selectPlatform(all, hostPlatform('arm64'))).toBe(arm64);
    expect(selectPlatform(all, hostPlatform('x64'))).toBe(amd64);
    expect(selectPlatform(all, hostPlatform('s390x'))).toBeUndefined();
    expect(selectPlatform([unknown], hostPlatform('x64'))).toBeUndefined();
    const silent = entry();
    expect(selectPlatform([silent], hostPlatform('x64'))).toBe(silent);
  });
});
