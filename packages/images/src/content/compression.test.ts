import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { deferred } from '@wherry/base';
import { describe, expect, it } from 'vitest';
import { type DecompressOptions, decompressed, detectCompression } from './compression.ts';

const plain = Buffer.concat([randomBytes(300_000), Buffer.alloc(700_000, 'text ')]);
const by = (program: string): Buffer => execFileSync(program, ['-c'], { input: plain, maxBuffer: 1e8 });
const forms = { gzip: gzipSync(plain), bzip2: by('bzip2'), xz: by('xz'), zstd: by('zstd') };

async function* inPieces(content: Buffer, size = 10_000): AsyncGenerator<Buffer> {
  for (let at = 0; at < content.length; at += size) yield content.subarray(at, at + size);
}

async function plainOf(source: AsyncIterable<Uint8Array>, options?: DecompressOptions): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of decompressed(source, options)) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

const ways = Object.entries(forms).flatMap(([name, content]) =>
  [false, true].map((isAlone) => [name, { isAlone }, content] as const),
);

describe.each(ways)('%s %j', (name, options, content) => {
  it('is known by its beginning and read however it is cut', async () => {
    expect(detectCompression(content.subarray(0, 8))).toBe(name);
    for (const size of [1000, 65_536, 10_000_000]) {
      expect((await plainOf(inPieces(content, size), options)).equals(plain)).toBe(true);
    }
  });

  it('says that it is cut off', async () => {
    const words = name === 'xz' ? 'exit status 1: xz: (stdin): Unexpected end of input' : 'unexpected EOF';
    for (const length of [12, content.length - 10]) {
      await expect(plainOf(inPieces(content.subarray(0, length)), options)).rejects.toMatchObject({
        code: 'corrupt',
        message: words,
      });
    }
  });

  it('is not read before it is asked for, nor after', async () => {
    let begun = false;
    const closed = deferred<void>();
    const source = async function* (): AsyncGenerator<Buffer> {
      begun = true;
      try {
        yield* inPieces(content, 5000);
      } finally {
        closed.resolve();
      }
    };
    const stream = decompressed(source(), options);
    await setImmediate();
    expect(begun).toBe(false);
    expect((await stream.next()).value).toBeInstanceOf(Uint8Array);
    await stream.return();
    await closed.promise;
  });

  it('passes on how its source failed', async () => {
    const source = async function* (): AsyncGenerator<Buffer> {
      yield content.subarray(0, 50_000);
      throw new Error('the client is gone');
    };
    await expect(plainOf(source(), options)).rejects.toThrow('the client is gone');
  });
});

it('zstd that leads to a thousand times as much leaves others their turns', async () => {
  const zeros = execFileSync('sh', ['-c', 'head -c 500000000 /dev/zero | zstd -q -c'], { maxBuffer: 1e8 });
  let turns = 0;
  let isOver = false;
  const others = (async () => {
    for (; !isOver; turns++) await setImmediate();
  })();
  let length = 0;
  for await (const piece of decompressed(inPieces(zeros, zeros.length))) length += piece.length;
  isOver = true;
  await others;
  expect(length).toBe(500_000_000);
  expect(turns).toBeGreaterThan(10);
});

describe('what is broken', () => {
  const gzip = (change: (content: Buffer) => void): Buffer => {
    const content = Buffer.from(forms.gzip);
    change(content);
    return content;
  };

  it.each([
    ['gzip: invalid header', gzip((content) => content.writeUInt8(9, 2))],
    ['gzip: invalid checksum', gzip((content) => content.writeUInt32LE(1, content.length - 8))],
    ['flate: corrupt input', gzip((content) => content.fill(0xff, 10, 5000))],
    ['bzip2 data invalid', Buffer.from('BZh9 and something else')],
    ['invalid zstd data', Buffer.concat([forms.zstd.subarray(0, 4), Buffer.alloc(500, 0xff)])],
  ])('%s', async (words, content) => {
    for (const isAlone of [false, true]) {
      await expect(plainOf(inPieces(content), { isAlone })).rejects.toMatchObject({
        code: 'corrupt',
        message: expect.stringContaining(words),
      });
    }
  });

  it('is taken as it is where nothing says that it is compressed', async () => {
    for (const content of [Buffer.alloc(0), Buffer.from('a'), Buffer.from('garbage')]) {
      expect((await plainOf(inPieces(content))).equals(content)).toBe(true);
    }
  });
});
