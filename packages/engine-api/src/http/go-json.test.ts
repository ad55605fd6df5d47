import { describe, expect, it } from 'vitest';
import { parseJson } from './go-json.ts';

describe('JSON as Go reads it', () => {
  it.each([
    ['', 'invalid JSON: got EOF while reading request body'],
    [' \n', 'invalid JSON: got EOF while reading request body'],
    ['{bad', "invalid JSON: invalid character 'b' looking for beginning of object key string"],
    ['{"a"', 'invalid JSON: unexpected EOF'],
    ['{"a" 1}', "invalid JSON: invalid character '1' after object key"],
    ['{"a":1 2}', "invalid JSON: invalid character '2' after object key:value pair"],
    ['{"a":1,}', "invalid JSON: invalid character '}' looking for beginning of object key string"],
    ['[1 2]', "invalid JSON: invalid character '2' after array element"],
    ['[1,]', "invalid JSON: invalid character ']' looking for beginning of value"],
    ['{"a":tru}', "invalid JSON: invalid character '}' in literal true (expecting 'e')"],
    ['{"a":nope}', "invalid JSON: invalid character 'o' in literal null (expecting 'u')"],
    ['{"a":-x}', "invalid JSON: invalid character 'x' in numeric literal"],
    ['{"a":1.x}', "invalid JSON: invalid character 'x' after decimal point in numeric literal"],
    ['{"a":1e}', "invalid JSON: invalid character '}' in exponent of numeric literal"],
    ['{"a":"\n"}', "invalid JSON: invalid character '\\n' in string literal"],
    ['{"a":"\\x"}', "invalid JSON: invalid character 'x' in string escape code"],
    ['{"a":"\\u00g0"}', "invalid JSON: invalid character 'g' in \\u hexadecimal character escape"],
    ["'", "invalid JSON: invalid character '\\'' looking for beginning of value"],
    ['{} x', 'unexpected content after JSON'],
    ['[{"a":[1,{"b":null}]},"x",true,-1.5e3] ]', 'unexpected content after JSON'],
  ])('refuses %j', (text, message) => {
    expect(() => parseJson(text)).toThrow(expect.objectContaining({ code: 'invalid', message }) as Error);
  });

  it('takes what is right, and finds an end to any nesting', () => {
    expect(parseJson(' {"a":[1,"\\u0041"]} ')).toEqual({ a: [1, 'A'] });
    expect(() => parseJson('['.repeat(200_000))).toThrow('unexpected EOF');
  });
});
