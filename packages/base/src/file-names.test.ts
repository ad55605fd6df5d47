import { describe, expect, it } from 'vitest';
import { bytesOfName, fsPath, textOfName } from './file-names.ts';

describe('names of files', () => {
  it.each([
    ['', ''],
    ['name', 'name'],
    ['é/漢/😀', 'é/漢/😀'],
    [[0x61, 0xff, 0x62], 'a\udcffb'],
    [[0xe9], '\udce9'],
    [[0xc3, 0xa9, 0xc3], 'é\udcc3'],
    [[0xf0, 0x9f, 0x98, 0x80, 0xf0, 0x9f, 0x98], '😀\udcf0\udc9f\udc98'],
    // Overlong forms and surrogates are no UTF-8.
    [[0xc0, 0xaf], '\udcc0\udcaf'],
    [[0xed, 0xb2, 0x80], '\udced\udcb2\udc80'],
  ] as const)('%j are text and back', (name, text) => {
    const bytes = typeof name === 'string' ? Buffer.from(name) : Buffer.from(name);
    expect(textOfName(bytes)).toBe(text);
    expect(bytesOfName(text).equals(bytes)).toBe(true);
    expect(fsPath(text)).toEqual(text.includes('\udcff') || /[\udc80-\udcff]/u.test(text) ? bytes : text);
  });

  it('of all bytes are told apart', () => {
    for (let n = 0; n < 2000; n++) {
      const bytes = Buffer.from(Array.from({ length: 1 + (n % 9) }, (_, at) => (n * 2654435761 * (at + 1)) >>> 24));
      expect(bytesOfName(textOfName(bytes)).equals(bytes)).toBe(true);
    }
  });
});
