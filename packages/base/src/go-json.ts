import { WherryError } from './errors.ts';

/**
 * How Go's encoding/json is asked, which decides its words: by `Unmarshal` of a whole `document`, or by a `Decoder` that
 * reads the first value of a `stream` and leaves what follows.
 */
export type GoReader = 'document' | 'stream';

/** Go's `maxNestingDepth`. */
const deepest = 10_000;

/**
 * Reads JSON as Go's encoding/json does, with its words for what is wrong: clients and people know them. Throws
 * `corrupt`.
 */
export function parseGoJson(text: string, reader: GoReader): unknown {
  const looked = looksLikeGoJson(text);
  if (looked.finding === undefined) return looked.value;
  if (looked.finding === 'trailing' && reader === 'stream') return JSON.parse(text.slice(0, looked.end)) as unknown;
  throw new WherryError('corrupt', wordsFor(looked, reader));
}

/** What Go finds in a text that should be one JSON value. */
export type GoLook =
  | { readonly finding: undefined; readonly value: unknown }
  | { readonly finding: 'empty' | 'cut' }
  | { readonly finding: 'trailing'; readonly end: number; readonly message: string }
  | { readonly finding: 'wrong'; readonly message: string };

/** Reads JSON, or finds what Go would find first. */
export function looksLikeGoJson(text: string): GoLook {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return new Scanner(text).explain();
  }
  // Shorter ones cannot be as deep.
  if (text.length > deepest && new Scanner(text).isTooDeep())
    return { finding: 'wrong', message: 'exceeded max depth' };
  return { finding: undefined, value };
}

function wordsFor(looked: Exclude<GoLook, { finding: undefined }>, reader: GoReader): string {
  if (looked.finding === 'wrong' || looked.finding === 'trailing') return looked.message;
  if (reader === 'document') return 'unexpected end of JSON input';
  return looked.finding === 'empty' ? 'EOF' : 'unexpected EOF';
}

const literals = { t: 'true', f: 'false', n: 'null' } as const;

/** Goes through a document that does not parse until it finds what Go would find first. */
class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  explain(): GoLook {
    this.#space();
    if (this.#at >= this.#text.length) return { finding: 'empty' };
    try {
      this.#value();
      const end = this.#at;
      this.#space();
      const message = `invalid character ${quote(this.#peek())} after top-level value`;
      return { finding: 'trailing', end, message };
    } catch (error) {
      if (error instanceof Finding) return { finding: 'wrong', message: error.message };
      if (error instanceof Cut) return { finding: 'cut' };
      throw error;
    }
  }

  /** Of a document that parses. */
  isTooDeep(): boolean {
    let depth = 0;
    for (; this.#at < this.#text.length; this.#at++) {
      const character = this.#text.charCodeAt(this.#at);
      if (character === 0x22) {
        this.#string();
        this.#at--;
      } else if (character === 0x5b || character === 0x7b) {
        if (++depth > deepest) return true;
      } else if (character === 0x5d || character === 0x7d) depth--;
    }
    return false;
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
            if (open.push(character === '{' ? 'object' : 'array') > deepest) throw new Finding('exceeded max depth');
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
    if (character === undefined) throw new Cut();
    return character;
  }

  #wrong(character: string, where: string): never {
    throw new Finding(`invalid character ${quote(character)} ${where}`);
  }
}

class Finding extends Error {}

/** The text ended in the middle. */
class Cut extends Error {}

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
