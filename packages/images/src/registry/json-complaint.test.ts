import { expect, it } from 'vitest';
import { jsonComplaint } from './json-complaint.ts';

it.each([
  ['', 'unexpected end of JSON input'],
  ['<html>', "invalid character '<' looking for beginning of value"],
  [' plain', "invalid character 'p' looking for beginning of value"],
  ['this', "invalid character 'h' in literal true (expecting 'r')"],
  ['not json', "invalid character 'o' in literal null (expecting 'u')"],
  ['nul', 'unexpected end of JSON input'],
  ['{"a":', 'unexpected end of JSON input'],
  ["'x'", "invalid character '\\'' looking for beginning of value"],
])('says of %j what Go says', (text, words) => {
  expect(jsonComplaint(text)).toBe(words);
});
