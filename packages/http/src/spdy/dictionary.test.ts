import { expect, test } from 'vitest';
import { headerDictionary } from './dictionary.ts';

test('is the 1423 bytes of the protocol, whose Adler-32 zlib streams name', () => {
  const dictionary = headerDictionary();
  expect(dictionary.length).toBe(1423);
  let a = 1;
  let b = 0;
  for (const byte of dictionary) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  expect(((b << 16) | a) >>> 0).toBe(0xe3c6a7c2);
});
