import { expect, it } from 'vitest';
import { buildSecrets } from './build-secrets.ts';

it('reads what a build may see', () => {
  expect(buildSecrets(undefined)).toEqual({});
  expect(buildSecrets('a=aHVzaA==, b%2Cc%3D=,d=/+8=')).toEqual({
    a: Buffer.from('hush'),
    'b,c=': Buffer.alloc(0),
    d: Buffer.from([0xff, 0xef]),
  });
  for (const header of ['a', '=aHVzaA==', 'a=?', 'a=aHVzaA==,', '%=aHVzaA=='])
    expect(() => buildSecrets(header)).toThrow(expect.objectContaining({ code: 'invalid' }) as Error);
  expect(() => buildSecrets('token:hush')).toThrow(/^(?!.*hush)/);
});
