import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { gzipBlocks, zlibDeflater } from './gzip-blocks.ts';

async function gzip(content: Buffer, parallel: number, ...deflater: [typeof zlibDeflater] | []): Promise<Buffer> {
  const parts: Buffer[] = [];
  let at = 0;
  const read = (into: Buffer): number => {
    const count = content.copy(into, 0, at);
    at += count;
    return count;
  };
  for await (const some of gzipBlocks(read, parallel, ...deflater))
    parts.push(...some.map((part) => Buffer.from(part)));
  return Buffer.concat(parts);
}

/** Bytes that are the same in every run. */
function chaos(size: number, seed: string): Buffer {
  const parts: Buffer[] = [];
  for (let n = 0; n * 64 < size; n++) parts.push(createHash('sha512').update(`${seed} ${n}`).digest());
  return Buffer.concat(parts).subarray(0, size);
}

const text = (size: number): Buffer =>
  Buffer.from(Array.from({ length: Math.ceil(size / 8) }, (_, n) => `${n % 7919} `.padEnd(8, 'ab')).join('')).subarray(
    0,
    size,
  );
const block = 1024 * 1024;

describe.each([
  ['the library of the host', []],
  ['zlib', [zlibDeflater]],
] as const)('gzip in blocks, by %s', (_by, deflater) => {
  it.each([
    ['nothing', Buffer.alloc(0)],
    ['a byte', Buffer.from('a')],
    ['a block', text(block)],
    ['a byte more than a block', text(block + 1)],
    ['several blocks', text(3 * block + 777)],
    ['what does not shrink', randomBytes(block + 100_000)],
    ['zeros', Buffer.alloc(5 * block)],
    [
      'both, in long and short pieces',
      Buffer.concat([
        text(90_000),
        randomBytes(500_000),
        text(300_000),
        randomBytes(9000),
        text(block),
        randomBytes(70_000),
      ]),
    ],
  ])('is read by others: %s', async (_, content) => {
    const compressed = await gzip(content, 2, ...deflater);
    expect(gunzipSync(compressed).equals(content)).toBe(true);
    expect(execFileSync('gzip', ['-dc'], { input: compressed, maxBuffer: 1e8 }).equals(content)).toBe(true);
    expect(compressed.length).toBeLessThan(content.length * 1.002 + 64);
  });

  it('gives the same bytes however many blocks are compressed at a time', async () => {
    const content = Buffer.concat([text(2 * block), chaos(block, 'a'), text(500_000), chaos(40_000, 'b'), text(block)]);
    const [first, ...others] = await Promise.all([1, 2, 3, 8].map((parallel) => gzip(content, parallel, ...deflater)));
    for (const other of others) expect(other.equals(first!)).toBe(true);
  });

  it('makes text smaller, and what does not shrink hardly larger', async () => {
    const random = chaos(3 * block, 'c');
    expect((await gzip(random, 2, ...deflater)).length).toBeLessThan(random.length * 1.002);
    expect((await gzip(text(3 * block), 2, ...deflater)).length).toBeLessThan(block);
  });

  it('ends with the error of what it reads', async () => {
    let count = 0;
    const read = (into: Buffer): number => {
      if (++count === 4) throw new Error('torn');
      return text(block).copy(into);
    };
    await expect(async () => {
      for await (const _ of gzipBlocks(read, 2, ...deflater));
    }).rejects.toThrow('torn');
  });
});
