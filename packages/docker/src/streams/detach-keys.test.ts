import { expect, test } from 'vitest';
import { DetachKeyScanner, parseDetachKeys } from './detach-keys.ts';

function typed(keys: string | undefined, ...chunks: string[]): [string, boolean] {
  const scanner = new DetachKeyScanner(parseDetachKeys(keys));
  let text = '';
  for (const chunk of chunks) {
    const { pass, found } = scanner.take(Buffer.from(chunk, 'latin1'));
    text += pass.toString('latin1');
    if (found) return [text, true];
  }
  return [text, false];
}

test('finds the keys, also over chunks; gives back what was none', () => {
  expect(typed(undefined, 'ab\x10', '\x11cd')).toEqual(['ab', true]);
  expect(typed(undefined, 'a\x10b\x10\x10\x11')).toEqual(['a\x10b\x10', true]);
  expect(typed(undefined, 'a\x10')).toEqual(['a', false]);
  expect(typed('ctrl-x', 'q\x18z')).toEqual(['q', true]);
  expect(typed('a,b', 'xab')).toEqual(['x', true]);
});

test('refuses what is no key', () => {
  expect(() => parseDetachKeys('ctrl-1')).toThrow('Invalid detach keys (ctrl-1) provided');
  expect(() => parseDetachKeys('ctrl-p,,')).toThrow('Invalid detach keys');
});
