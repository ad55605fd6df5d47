import { WherryError } from '@wherry/base';

/**
 * Reads one JSON document as dockerd's decoder does, with the words of Go's encoding/json for what is wrong in it:
 * clients and people know them. Throws `invalid`.
 */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new WherryError('invalid', new Scanner(text).explain());
  }
}

const literals = { t: 'true', f: 'false', n: 'null' } as const;

/** Goes through a document that does not parse until it finds what Go would find first. */
class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  explain(): string {
    this.#space();
    if (this.#at >= this.#text.length) return 'invalid JSON: got EOF while reading request body';
    try {
      this.#value();
    } catch (error) {
      if (error instanceof Finding) return `invalid JSON: ${error.message}`;
      throw error;
    }
    return 'unexpected content after JSON';
  }

  #value(): void {
    // Nesting is followed without recursion: the document is a stranger's.
    const open: ('object' | 'array')[] = [];
    let expectValue = true;
    for (;;) {
      if (expectValue) {
        this.#space();
        const character = this.#peek();
        if (character === '{' || character === '[') {
          this.#at++;
          this.#space();
          if (this.#peek() === (character === '{' ? '}' : ']')) this.#at++;
          else {
            open.push(character === '{' ? 'object' : 'array');
            if (character === '{') this.#key();
            continue;
          }
        } else this.#scalar(character);
      }
      const inside = open.at(-1);
      if (inside === undefined) return;
      this.#space();
      const next = this.#peek();
      this.#at++;
      expectValue = next === ',';
      if (expectValue) {
        if (inside === 'object') {
          this.#space();
          this.#key();
        }
        continue;
      }
      if (next !== (inside === 'object' ? '}' : ']')) {
        this.#wrong(next, inside === 'object' ? 'after object key:value pair' : 'after array element');
      }
      open.pop();
    }
  }

  #key(): void {
    const character = this.#peek();
    if (character !== '"') this.#wrong(character, 'looking for beginning of object key string');
    this.#string();
    this.#space();
    const colon = this.#peek();
    if (colon !== ':') this.#wrong(colon, 'after object key');
    this.#at++;
  }

  #scalar(character: string): void {
    if (character === '"') this.#string();
    else if (character === '-' || isDigit(character)) this.#number();
    else this.#literal(character);
  }

  #literal(character: string): void {
    if (character !== 't' && character !== 'f' && character !== 'n') {
      this.#wrong(character, 'looking for beginning of value');
    }
    const word = literals[character as 't' | 'f' | 'n'];
    for (const expected of word) {
      const found = this.#peek();
      if (found !== expected) this.#wrong(found, `in literal ${word} (expecting '${expected}')`);
      this.#at++;
    }
  }

  #string(): void {
    this.#at++;
    for (;;) {
      const character = this.#peek();
      this.#at++;
      if (character === '"') return;
      if (character < ' ') this.#wrong(character, 'in string literal');
      if (character !== '\\') continue;
      const escaped = this.#peek();
      this.#at++;
      if (escaped === 'u') {
        for (let digit = 0; digit < 4; digit++) {
          const found = this.#peek();
          if (!/[0-9a-fA-F]/.test(found)) this.#wrong(found, 'in \\u hexadecimal character escape');
          this.#at++;
        }
      } else if (!'bfnrt\\/"'.includes(escaped)) this.#wrong(escaped, 'in string escape code');
    }
  }

  #number(): void {
    if (this.#peek() === '-') {
      this.#at++;
      if (!isDigit(this.#peek())) this.#wrong(this.#peek(), 'in numeric literal');
    }
    if (this.#peek() === '0') this.#at++;
    else this.#digits();
    if (this.#text[this.#at] === '.') {
      this.#at++;
      if (!isDigit(this.#peek())) this.#wrong(this.#peek(), 'after decimal point in numeric literal');
      this.#digits();
    }
    if (!/[eE]/.test(this.#text[this.#at] ?? '')) return;
    this.#at++;
    if (/[+-]/.test(this.#peek())) this.#at++;
    if (!isDigit(this.#peek())) this.#wrong(this.#peek(), 'in exponent of numeric literal');
    this.#digits();
  }

  #digits(): void {
    while (isDigit(this.#text[this.#at] ?? '')) this.#at++;
  }

  #space(): void {
    while (/[ \t\r\n]/.test(this.#text[this.#at] ?? '')) this.#at++;
  }

  #peek(): string {
    const character = this.#text[this.#at];
    if (character === undefined) throw new Finding('unexpected EOF');
    return character;
  }

  #wrong(character: string, where: string): never {
    throw new Finding(`invalid character ${quote(character)} ${where}`);
  }
}

class Finding extends Error {}

function isDigit(character: string): boolean {
  return character >= '0' && character <= '9';
}

/** As Go's `quoteChar`. */
function quote(character: string): string {
  if (character === "'") return "'\\''";
  if (character === '"') return `'"'`;
  const escapes: Record<string, string> = {
    '\n': '\\n',
    '\r': '\\r',
    '\t': '\\t',
    '\b': '\\b',
    '\f': '\\f',
    '\\': '\\\\',
  };
  const code = character.charCodeAt(0);
  const text = escapes[character] ?? (code < 0x20 ? `\\x${code.toString(16).padStart(2, '0')}` : character);
  return `'${text}'`;
}
