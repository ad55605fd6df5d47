import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { zstdDecoder } from './zstd.ts';

const compress = (content: Buffer): Buffer =>
  execFileSync('zstd', ['-q', '-c'], { input: content, maxBuffer: 2 ** 28 });

function decode(content: Buffer, step: number): Buffer {
  using decoder = zstdDecoder()!;
  const found: Buffer[] = [];
  for (let at = 0; at < content.length; at += step) {
    for (const piece of decoder.decode(content.subarray(at, at + step))) found.push(Buffer.from(piece));
  }
  decoder.end();
  return Buffer.concat(found);
}

describe('the zstd decoder', () => {
  const plain = Buffer.concat([randomBytes(300_000), Buffer.alloc(5_000_000, 'ab'), randomBytes(10)]);

  it('gives what was compressed, in chunks of any size and of several frames', () => {
    const frames = Buffer.concat([compress(plain), compress(Buffer.from('second'))]);
    const expected = Buffer.concat([plain, Buffer.from('second')]);
    for (const step of [frames.length, 100_000, 7_001]) expect(decode(frames, step).equals(expected)).toBe(true);
  });

  it('refuses what is cut off or changed', () => {
    const whole = compress(plain);
    expect(() => decode(whole.subarray(0, whole.length - 5), 50_000)).toThrow('unexpected EOF');
    expect(() => decode(Buffer.from('no zstd at all'), 50)).toThrow('invalid zstd data');
  });
});
