import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { expect, it } from 'vitest';
import { ByteRing, readRing } from './byte-ring.ts';
import { feedRing } from './feed-ring.ts';

const never = new AbortController().signal;

async function collect(ring: ByteRing, isReused: boolean): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of readRing(ring.shared, { isReused })) pieces.push(isReused ? Buffer.from(piece) : piece);
  return Buffer.concat(pieces);
}

/** More than the ring has room for, in pieces that do not fit its end. */
const content = randomBytes(11_000_000);
async function* inPieces(length: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < content.length; at += length) yield content.subarray(at, at + length);
}

it.each([
  ['pieces', () => inPieces(70_001)],
  ['pieces larger than the ring', () => inPieces(5_000_000)],
  ['a stream', () => Readable.from(inPieces(65_536))],
])('passes %s on as they are', async (_, source) => {
  for (const isReused of [false, true]) {
    const ring = new ByteRing();
    const [got] = await Promise.all([collect(ring, isReused), feedRing(ring, source(), never)]);
    expect(got.equals(content)).toBe(true);
  }
});

it('passes on what is little, before there is more', async () => {
  const ring = new ByteRing();
  const reader = readRing(ring.shared);
  for (const word of ['one', 'two']) {
    ring.put(Buffer.from(word));
    expect((await reader.next()).value?.toString()).toBe(word);
  }
  ring.end();
  expect((await reader.next()).done).toBe(true);
});

it('ends with the source: broken where that breaks', async () => {
  const failing = async function* (): AsyncGenerator<Buffer> {
    yield Buffer.from('x');
    throw new Error('broken');
  };
  for (const source of [failing(), Readable.from(failing())]) {
    const ring = new ByteRing();
    const got = collect(ring, false);
    await expect(feedRing(ring, source, never)).rejects.toThrow('broken');
    ring.fail();
    await expect(got).rejects.toMatchObject({ code: 'cancelled' });
  }
});

it('leaves a source that nobody reads any more', async () => {
  const stop = new AbortController();
  const ring = new ByteRing();
  let isTold = false;
  const endless = async function* (): AsyncGenerator<Buffer> {
    try {
      for (;;) yield Buffer.alloc(1_000_000);
    } finally {
      isTold = true;
    }
  };
  const feeding = feedRing(ring, endless(), stop.signal);
  await readRing(ring.shared).next();
  stop.abort();
  ring.close();
  await feeding;
  expect(isTold).toBe(true);
});
