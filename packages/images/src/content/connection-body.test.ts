import { expect, it } from 'vitest';
import { type BodyFraming, unframed } from './connection-body.ts';

async function bodyOf(text: string, framing: BodyFraming, pieceSize: number): Promise<string> {
  const pieces = async function* (): AsyncGenerator<Buffer> {
    for (let at = 0; at < text.length; at += pieceSize) yield Buffer.from(text.slice(at, at + pieceSize));
  };
  let body = '';
  for await (const piece of unframed(pieces(), framing)) body += piece.toString();
  return body;
}

const chunked = '5\r\nhello\r\n3;name="value"\r\n wo\r\nA\r\nrld, again\r\n0\r\nTrailer: x\r\n\r\nGET /';

it('is the content, in pieces of any size', async () => {
  for (let size = 1; size <= chunked.length; size++) {
    expect(await bodyOf(chunked, 'chunked', size)).toBe('hello world, again');
    expect(await bodyOf('hello, next', 5, size)).toBe('hello');
  }
  expect(await bodyOf('next', 0, 4)).toBe('');
});

it.each([
  ['ends within a chunk', '5\r\nhel', 'chunked', 'unexpected EOF'],
  ['ends before the last chunk', '5\r\nhello\r\n', 'chunked', 'unexpected EOF'],
  ['ends behind the last chunk', '0\r\n', 'chunked', 'unexpected EOF'],
  ['is shorter than it says', 'hell', 5, 'unexpected EOF'],
  ['has no length of a chunk', 'x\r\n', 'chunked', 'malformed chunked encoding'],
  ['has a negative length', '-1\r\n', 'chunked', 'malformed chunked encoding'],
  ['has a length beyond all', `${'f'.repeat(16)}\r\n`, 'chunked', 'malformed chunked encoding'],
  ['has more in a chunk than it says', '5\r\nhello, you\r\n', 'chunked', 'malformed chunked encoding'],
  ['has a line without end', `5;${'x'.repeat(5000)}`, 'chunked', 'malformed chunked encoding'],
] as const)('is refused where it %s', async (_, text, framing, words) => {
  for (const size of [1, 1000, 10_000]) await expect(bodyOf(text, framing, size)).rejects.toThrow(words);
});
