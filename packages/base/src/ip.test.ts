import { describe, expect, test } from 'vitest';
import { codeOf } from './errors.ts';
import { cidrContains, cidrsOverlap, formatIp, ipv4At, parseCidr, parseIp } from './ip.ts';

describe('addresses', () => {
  test.each([
    ['10.244.0.1', '10.244.0.1'],
    ['::1', '::1'],
    ['::', '::'],
    ['fd00:0:0:1:0:0:0:9', 'fd00:0:0:1::9'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['::ffff:10.0.0.1', '::ffff:a00:1'],
  ])('%s becomes %s', (text, canonical) => {
    expect(formatIp(parseIp(text) ?? new Uint8Array())).toBe(canonical);
  });

  test.each(['', '1.2.3', '256.1.1.1', 'fe80::1%eth0', 'x', '1.2.3.4/8'])('%j is no address', (text) => {
    expect(parseIp(text)).toBeUndefined();
  });
});

describe('ranges', () => {
  test('contain exactly their addresses', () => {
    const range = parseCidr('10.96.0.0/12');
    expect(cidrContains(range, parseIp('10.111.255.255')!)).toBe(true);
    expect(cidrContains(range, parseIp('10.112.0.0')!)).toBe(false);
    expect(cidrContains(parseCidr('0.0.0.0/0'), parseIp('::1')!)).toBe(false);
  });

  test('overlap in either order', () => {
    expect(cidrsOverlap(parseCidr('10.0.0.0/8'), parseCidr('10.244.0.0/16'))).toBe(true);
    expect(cidrsOverlap(parseCidr('10.244.0.0/16'), parseCidr('10.0.0.0/8'))).toBe(true);
    expect(cidrsOverlap(parseCidr('10.244.0.0/16'), parseCidr('10.96.0.0/16'))).toBe(false);
  });

  test('count addresses from their start', () => {
    expect(ipv4At(parseCidr('10.244.3.7/24'), 1)).toBe('10.244.3.1');
    expect(() => ipv4At(parseCidr('10.244.3.0/24'), 256)).toThrow();
  });

  test.each(['10.0.0.0', '10.0.0.0/33', '/8', '10.0.0/8'])('%j is refused', (text) => {
    let code: string | undefined;
    try {
      parseCidr(text);
    } catch (error) {
      code = codeOf(error);
    }
    expect(code).toBe('invalid');
  });
});
