import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { crc32, inflateRawSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { isalDeflater } from './isal.ts';

/** Bytes that are the same in every run. */
function chaos(size: number, seed: string): Buffer {
  const parts: Buffer[] = [];
  for (let n = 0; n * 64 < size; n++) parts.push(createHash('sha512').update(`${seed} ${n}`).digest());
  return Buffer.concat(parts).subarray(0, size);
}

const none = Buffer.alloc(0);
const text = Buffer.from(Array.from({ length: 200_000 }, (_, n) => `${(n * n) % 7919} `).join(''));

describe('the deflater', () => {
  it.each([
    ['nothing', Buffer.alloc(0)],
    ['a byte', Buffer.from('a')],
    ['text', text],
    ['zeros', Buffer.alloc(1_000_000)],
    ['what does not shrink', chaos(1_000_000, 'b')],
    ['both', Buffer.concat([text.subarray(0, 1000), chaos(70_000, 'c'), text.subarray(0, 100_000), chaos(900, 'd')])],
  ])('makes what others read: %s', async (_, content) => {
    const deflater = isalDeflater(1_000_000)!;
    const pieces: Buffer[] = [];
    pieces.push(Buffer.from(await deflater.deflate(content, none)));
    pieces.push(Buffer.from(await deflater.deflate(content.subarray(0, 100), content)));
    const stream = Buffer.concat([...pieces, Buffer.from([3, 0])]);
    const expected = Buffer.concat([content, content.subarray(0, 100)]);
    expect(inflateRawSync(stream).equals(expected)).toBe(true);
    expect(pieces[0]!.length).toBeLessThan(content.length * 1.001 + 64);
    const gzip = Buffer.concat([Buffer.from('1f8b08000000000000ff', 'hex'), stream, trailerOf(expected)]);
    expect(execFileSync('gzip', ['-dc'], { input: gzip, maxBuffer: 1e8 }).equals(expected)).toBe(true);
  });
});

describe('what the deflater makes', () => {
  // ISA-L without history: of 24,000 runs some eight differ.
  it('is the same wherever its memory is', async () => {
    const contents = Array.from({ length: 300 }, (_, n) => text.subarray(n * 997, n * 997 + 4000));
    const expected: Buffer[] = [];
    const first = isalDeflater(4000)!;
    for (const content of contents) expected.push(Buffer.from(await first.deflate(content, none)));
    for (const deflater of Array.from({ length: 80 }, () => isalDeflater(4000)!))
      for (const [n, content] of contents.entries())
        if (!(await deflater.deflate(content, none)).equals(expected[n]!)) expect.fail(`content ${n}`);
  });

  it('refers to what came before', async () => {
    const content = chaos(20_000, 'e');
    const deflater = isalDeflater(20_000)!;
    const before = chaos(12_000, 'f');
    const alone = (await deflater.deflate(content, before)).length;
    expect((await deflater.deflate(content, Buffer.concat([content, before]))).length).toBeLessThan(alone / 10);
    const late = Buffer.concat([content, chaos(40_000, 'g')]);
    expect((await deflater.deflate(content, late)).length).toBe(alone);
  });
});

function trailerOf(content: Buffer): Buffer {
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc32(content), 0);
  trailer.writeUInt32LE(content.length, 4);
  return trailer;
}
