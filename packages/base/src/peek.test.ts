import { expect, test } from 'vitest';
import { peek } from './peek.ts';

async function* pieces(texts: readonly string[], onEnd = (): void => undefined): AsyncGenerator<Buffer> {
  try {
    for (const text of texts) yield Buffer.from(text);
  } finally {
    onEnd();
  }
}

async function textOf(stream: AsyncIterable<Uint8Array>): Promise<string> {
  let text = '';
  for await (const piece of stream) text += Buffer.from(piece).toString();
  return text;
}

test.each([
  [['ab', 'cd', 'ef'], 3, 'abcd'],
  [['abcdef'], 3, 'abcdef'],
  [['a'], 3, 'a'],
  [[], 3, ''],
] as const)('%j: the first %d bytes, and all of it', async (texts, least, first) => {
  const peeked = await peek(pieces(texts), least);
  expect(peeked.first.toString()).toBe(first);
  expect(await textOf(peeked.whole)).toBe(texts.join(''));
});

test('takes pieces that come in the same memory', async () => {
  const memory = Buffer.alloc(2);
  async function* reused(): AsyncGenerator<Buffer> {
    for (const text of ['ab', 'cd', 'ef']) {
      memory.write(text);
      yield memory;
    }
  }
  const peeked = await peek(reused(), 3);
  expect(peeked.first.toString()).toBe('abcd');
  expect(await textOf(peeked.whole)).toBe('abcdef');
});

test('who stops reading lets go of the source', async () => {
  let ended = false;
  const { whole } = await peek(
    pieces(['ab', 'cd'], () => (ended = true)),
    1,
  );
  for await (const _ of whole) break;
  expect(ended).toBe(true);
});
