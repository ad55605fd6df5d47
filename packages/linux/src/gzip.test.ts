import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { gzipDecoder } from './gzip.ts';

/** The content, and whether it was whole. */
function decode(content: Buffer, step = content.length): { readonly plain: Buffer; readonly isWhole: boolean } {
  using decoder = gzipDecoder()!;
  const found: Buffer[] = [];
  for (let at = 0; at < content.length; at += step) {
    for (const piece of decoder.decode(content.subarray(at, at + step))) found.push(Buffer.from(piece));
  }
  return { plain: Buffer.concat(found), isWhole: decoder.isWhole };
}

describe('the gzip decoder', () => {
  const plain = Buffer.concat([randomBytes(600_000), Buffer.alloc(5_000_000, 'ab'), randomBytes(10)]);
  const whole = gzipSync(plain);

  it('gives what was compressed, in chunks of any size and of several members', () => {
    const members = Buffer.concat([whole, gzipSync(''), gzipSync('second')]);
    const expected = Buffer.concat([plain, Buffer.from('second')]);
    for (const step of [members.length, 262_144, 100_000, 7_001]) {
      const found = decode(members, step);
      expect(found.plain.equals(expected)).toBe(true);
      expect(found.isWhole).toBe(true);
    }
    expect(decode(gzipSync('a'), 1)).toEqual({ plain: Buffer.from('a'), isWhole: true });
  });

  it('passes over zeros behind the end, and whatever follows them', () => {
    for (const behind of [Buffer.alloc(1), Buffer.concat([Buffer.alloc(600_000), Buffer.from('more')])]) {
      for (const step of [1_000_000, 10_000]) {
        const found = decode(Buffer.concat([whole, behind]), step);
        expect(found.plain.equals(plain)).toBe(true);
        expect(found.isWhole).toBe(true);
      }
    }
  });

  it('knows what is cut off', () => {
    for (const length of [0, 5, 1000, whole.length - 1]) {
      expect(decode(whole.subarray(0, length), 50_000).isWhole).toBe(false);
    }
    expect(decode(Buffer.concat([whole, whole.subarray(0, 20)])).isWhole).toBe(false);
  });

  it('refuses what is changed, or followed by something else', () => {
    const changed = (change: (content: Buffer) => void): Buffer => {
      const content = Buffer.from(whole);
      change(content);
      return content;
    };
    expect(() => decode(changed((content) => content.writeUInt8(9, 2)))).toThrow('unknown compression method');
    expect(() => decode(changed((content) => content.writeUInt32LE(1, content.length - 8)))).toThrow(
      'incorrect data check',
    );
    expect(() => decode(changed((content) => content.fill(0xff, 10, 5000)))).toThrow('invalid');
    expect(() => decode(Buffer.concat([whole, Buffer.from('garbage')]))).toThrow('incorrect header check');
  });
});
