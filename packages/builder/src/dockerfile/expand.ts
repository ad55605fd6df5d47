import { WherryError } from '@wherry/base';
import { parsePattern, replacePattern, trimPrefix, trimSuffix } from './pattern.ts';

export interface ExpandOptions {
  /** The file's escape character, `\` or `` ` ``. */
  readonly escapeToken: string;
  /** Gives a variable's value; `undefined` where it is not set. */
  readonly variable: (name: string) => string | undefined;
  /** Quotes are text, as in a here-document. */
  readonly quotesAreText?: boolean | undefined;
}

/**
 * Replaces variables and takes quotes away, as Dockerfiles have it (Dockerfile reference, "Environment
 * replacement"): `$V`, `${V}`, `${V:-w}`, `${V:+w}`, `${V:?w}`, `${V#p}`, `${V##p}`, `${V%p}`, `${V%%p}`,
 * `${V/p/w}`, `${V//p/w}`; without the colon only an unset variable counts. Throws `invalid` in dockerd's words.
 */
export function expandWord(word: string, options: ExpandOptions): string {
  return expand(word, options).text;
}

/** As `expandWord`, then split at spaces that are not quoted. */
export function expandWords(word: string, options: ExpandOptions): readonly string[] {
  return expand(word, options).words;
}

interface Expanded {
  readonly text: string;
  readonly words: readonly string[];
}

function expand(word: string, options: ExpandOptions): Expanded {
  // The usual word has nothing to do.
  if (!/[$'"\s]/.test(word) && !word.includes(options.escapeToken)) {
    return { text: word, words: word === '' ? [] : [word] };
  }
  try {
    return new Expansion(word, options).run();
  } catch (error) {
    throw error instanceof WherryError
      ? new WherryError('invalid', `failed to process ${JSON.stringify(word)}: ${error.message}`)
      : error;
  }
}

const noMatch = (what: string): WherryError =>
  new WherryError('invalid', `unexpected end of statement while looking for matching ${what}`);
const syntaxError = (what: string): WherryError => new WherryError('invalid', `syntax error: ${what}`);

/** Substitutions within substitutions; nobody writes as many. */
const deepest = 50;

class Expansion {
  readonly #characters: readonly string[];
  readonly #options: ExpandOptions;
  #at = 0;
  #depth = 0;
  /** Escapes stay as they are written: within patterns. */
  #rawEscapes = false;

  constructor(word: string, options: ExpandOptions) {
    this.#characters = [...word];
    this.#options = options;
  }

  run(): Expanded {
    return this.#until(undefined);
  }

  #until(stop: string | undefined): Expanded {
    const words = new Words();
    for (;;) {
      const character = this.#characters[this.#at];
      if (character === undefined) break;
      if (character === stop) {
        this.#at++;
        return words.end();
      }
      const { quotesAreText } = this.#options;
      if (character === '$') words.text(this.#variable());
      else if (character === "'" && !quotesAreText) words.quoted(this.#singleQuoted());
      else if (character === '"' && !quotesAreText) words.quoted(this.#doubleQuoted());
      else if (character === this.#options.escapeToken) words.quoted(this.#escaped());
      else {
        words.text(character);
        this.#at++;
      }
    }
    if (stop !== undefined) throw noMatch(stop);
    return words.end();
  }

  #escaped(): string {
    const escapeToken = this.#characters[this.#at++]!;
    const next = this.#characters[this.#at] ?? '';
    // As a shell has it in a here-document: before other characters it is text.
    const isText = this.#options.quotesAreText && next !== '$' && next !== escapeToken;
    if (next !== '') this.#at++;
    return (this.#rawEscapes || isText ? escapeToken : '') + next;
  }

  #singleQuoted(): string {
    const end = this.#characters.indexOf("'", this.#at + 1);
    if (end < 0) {
      // As docker's scanner, which looks for it to the end.
      this.#at = this.#characters.length;
      throw noMatch('single-quote');
    }
    const text = this.#characters.slice(this.#at + 1, end).join('');
    this.#at = end + 1;
    return text;
  }

  #doubleQuoted(): string {
    let text = '';
    this.#at++;
    for (;;) {
      const character = this.#characters[this.#at];
      if (character === undefined) throw noMatch('double-quote');
      if (character === '"') {
        this.#at++;
        return text;
      }
      if (character === '$') {
        text += this.#variable();
        continue;
      }
      this.#at++;
      if (character !== this.#options.escapeToken) {
        text += character;
        continue;
      }
      const next = this.#characters[this.#at];
      if (this.#rawEscapes) text += character;
      if (next === undefined) continue;
      // Only these are escaped between double quotes; before others the escape character is text.
      if (next === '"' || next === '$' || next === this.#options.escapeToken) {
        text += next;
        this.#at++;
      } else if (!this.#rawEscapes) text += character;
    }
  }

  #variable(): string {
    this.#at++;
    if (this.#characters[this.#at] !== '{') {
      const name = this.#name();
      return name === '' ? '$' : (this.#options.variable(name) ?? '');
    }
    if (++this.#depth > deepest) throw syntaxError('too many nested substitutions');
    this.#at++;
    const next = this.#characters[this.#at];
    if (next === undefined) throw syntaxError("missing '}'");
    if (next === '{' || next === '}' || next === ':') throw syntaxError('bad substitution');
    const value = this.#substitution(this.#name());
    this.#depth--;
    return value;
  }

  #substitution(name: string): string {
    const value = this.#options.variable(name);
    let modifier = this.#characters[this.#at++] ?? '';
    // Docker's scanner gives the replacement character at the end.
    if (modifier === '') throw new WherryError('invalid', 'unsupported modifier (\ufffd) in substitution');
    if (modifier === '}') return value ?? '';
    if (modifier === '/') return this.#replacement(value ?? '');
    const emptyIsUnset = modifier === ':';
    if (emptyIsUnset) modifier = this.#characters[this.#at++] ?? '';
    const missing = value === undefined || (emptyIsUnset && value === '');
    if (!'-+?#%'.includes(modifier) || modifier === '') {
      const written = emptyIsUnset ? `:${modifier}` : modifier;
      if (emptyIsUnset) this.#part('}', false);
      throw new WherryError('invalid', `unsupported modifier (${written}) in substitution`);
    }
    const word = this.#part('}', modifier === '#' || modifier === '%');
    if (modifier === '-') return missing ? word : value;
    if (modifier === '+') return missing ? '' : word;
    if (modifier === '?') {
      if (!missing) return value;
      const fault = word || (value === undefined ? 'is not allowed to be unset' : 'is not allowed to be empty');
      throw new WherryError('invalid', `${name}: ${fault}`);
    }
    const longest = word.startsWith(modifier);
    const pattern = parsePattern(longest ? word.slice(1) : word);
    return modifier === '#' ? trimPrefix(value ?? '', pattern, longest) : trimSuffix(value ?? '', pattern, longest);
  }

  #replacement(value: string): string {
    const every = this.#characters[this.#at] === '/';
    if (every) this.#at++;
    const pattern = parsePattern(this.#part('/', true));
    return replacePattern(value, pattern, this.#part('}', true), every);
  }

  /** The text up to a delimiter, expanded. */
  #part(stop: '}' | '/', rawEscapes: boolean): string {
    const before = this.#rawEscapes;
    this.#rawEscapes = rawEscapes;
    try {
      return this.#until(stop).text;
    } catch (error) {
      if (this.#at < this.#characters.length) throw error;
      throw syntaxError(stop === '/' ? "missing '/' in $" + '{}' : "missing '}'");
    } finally {
      this.#rawEscapes = before;
    }
  }

  /** Letters, digits and `_`; a number; or one of the shell's special parameters. */
  #name(): string {
    const rest = this.#characters.slice(this.#at, this.#at + 1000).join('');
    const name = /^(?:\d+|[@*#?\-$!]|[\p{L}_][\p{L}\p{Nd}_]*)/u.exec(rest)?.[0] ?? '';
    this.#at += [...name].length;
    return name;
  }
}

/** The whole text, and its words. */
class Words {
  #text = '';
  #word = '';
  readonly #words: string[] = [];

  text(text: string): void {
    this.#text += text;
    for (const character of text) {
      if (!/\s/.test(character)) this.#word += character;
      else this.#flush();
    }
  }

  quoted(text: string): void {
    this.#text += text;
    this.#word += text;
  }

  end(): Expanded {
    this.#flush();
    return { text: this.#text, words: this.#words };
  }

  #flush(): void {
    if (this.#word !== '') this.#words.push(this.#word);
    this.#word = '';
  }
}
