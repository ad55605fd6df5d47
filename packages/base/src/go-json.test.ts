import { describe, expect, it } from 'vitest';
import { looksLikeGoJson, parseGoJson } from './go-json.ts';

describe('JSON as Go reads it', () => {
  it.each([
    ['', 'EOF'],
    [' \n', 'EOF'],
    ['{bad', "invalid character 'b' looking for beginning of object key string"],
    ['{"a"', 'unexpected EOF'],
    ['{"a" 1}', "invalid character '1' after object key"],
    ['{"a":1 2}', "invalid character '2' after object key:value pair"],
    ['{"a":1,}', "invalid character '}' looking for beginning of object key string"],
    ['[1 2]', "invalid character '2' after array element"],
    ['[1,]', "invalid character ']' looking for beginning of value"],
    ['{"a":tru}', "invalid character '}' in literal true (expecting 'e')"],
    ['{"a":nope}', "invalid character 'o' in literal null (expecting 'u')"],
    ['{"a":-x}', "invalid character 'x' in numeric literal"],
    ['{"a":1.x}', "invalid character 'x' after decimal point in numeric literal"],
    ['{"a":1e}', "invalid character '}' in exponent of numeric literal"],
    ['{"a":"\n"}', "invalid character '\\n' in string literal"],
    ['{"a":"\\x"}', "invalid character 'x' in string escape code"],
    ['{"a":"\\u00g0"}', "invalid character 'g' in \\u hexadecimal character escape"],
    ["'", "invalid character '\\'' looking for beginning of value"],
  ])('refuses %j', (text, message) => {
    expect(() => parseGoJson(text, 'stream')).toThrow(expect.objectContaining({ code: 'corrupt', message }) as Error);
  });

  it.each([
    ['', 'unexpected end of JSON input'],
    ['{"a"', 'unexpected end of JSON input'],
    ['{} x', "invalid character 'x' after top-level value"],
    ['[{"a":[1,{"b":null}]},"x",true,-1.5e3] ]', "invalid character ']' after top-level value"],
  ])('refuses %j as a whole document', (text, message) => {
    expect(() => parseGoJson(text, 'document')).toThrow(expect.objectContaining({ code: 'corrupt', message }) as Error);
  });

  it('takes the first value of a stream', () => {
    expect(parseGoJson(' {"a":[1]} x', 'stream')).toEqual({ a: [1] });
    expect(looksLikeGoJson('[] 1')).toMatchObject({ finding: 'trailing', end: 2 });
  });

  it('takes what is right, and finds an end to any nesting', () => {
    expect(parseGoJson(' {"a":[1,"\\u0041"]} ', 'document')).toEqual({ a: [1, 'A'] });
    expect(() => parseGoJson('['.repeat(200_000), 'stream')).toThrow('exceeded max depth');
    expect(() => parseGoJson(`${'['.repeat(10_001)}"]["${']'.repeat(10_001)}`, 'document')).toThrow(
      'exceeded max depth',
    );
    expect(parseGoJson(`["${'['.repeat(20_000)}"]`, 'document')).toHaveLength(1);
    expect(parseGoJson(`${'['.repeat(10_000)}${']'.repeat(10_000)}`, 'document')).toHaveLength(1);
  });
});
