import { WherryError } from '@wherry/base';

/** Splits at spaces outside of quotes; quotes and escapes stay in the words (`A="b c" D=e`). */
export function splitWords(text: string, escapeToken: string): readonly string[] {
  const words: string[] = [];
  let word = '';
  let quote: string | undefined;
  let quoted = false;
  const characters = [...text];
  for (let at = 0; at < characters.length; at++) {
    const character = characters[at]!;
    if (quote === undefined && /\s/.test(character)) {
      if (word !== '' || quoted) words.push(word);
      word = '';
      quoted = false;
    } else if (character === escapeToken && quote !== "'") {
      // An escape at the very end means nothing.
      if (at + 1 < characters.length) word += character + characters[++at]!;
    } else {
      if (quote === undefined && (character === '"' || character === "'")) {
        quote = character;
        quoted = true;
      } else if (character === quote) quote = undefined;
      word += character;
    }
  }
  if (word !== '' || quoted) words.push(word);
  return words;
}

/** The `--flag`s before an instruction's arguments, without quotes and escapes, and the rest. */
export function takeFlags(
  text: string,
  escapeToken: string,
): { readonly flags: readonly string[]; readonly rest: string } {
  const flags: string[] = [];
  const characters = [...text];
  let at = 0;
  for (;;) {
    while (at < characters.length && /\s/.test(characters[at]!)) at++;
    if (characters[at] !== '-' || characters[at + 1] !== '-') break;
    let flag = '';
    let quote: string | undefined;
    for (; at < characters.length; at++) {
      const character = characters[at]!;
      if (quote === undefined && /\s/.test(character)) break;
      if (character === escapeToken && quote !== "'") flag += characters[++at] ?? '';
      else if (character === quote) quote = undefined;
      else if (quote === undefined && (character === '"' || character === "'")) quote = character;
      else flag += character;
    }
    if (flag === '--') break;
    flags.push(flag);
  }
  return { flags, rest: characters.slice(at).join('').trim() };
}

/**
 * Strings of a JSON array; `undefined` when the text is none. What follows the array does not count: docker reads no
 * further. Throws `invalid` when it holds other things.
 */
export function jsonStrings(text: string): readonly string[] | undefined {
  if (!text.trimStart().startsWith('[')) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(firstArray(text));
  } catch {
    return undefined;
  }
  if (!Array.isArray(value) || value.some((item) => typeof item !== 'string')) {
    throw new WherryError('invalid', 'when using JSON array syntax, arrays must be comprised of strings only');
  }
  return value as string[];
}

/** Up to the bracket that closes the first one. */
function firstArray(text: string): string {
  let depth = 0;
  for (const { 0: token, index } of text.matchAll(/"(?:\\.|[^"\\])*"|[[\]]/g)) {
    if (token === '[') depth++;
    else if (token === ']' && --depth === 0) return text.slice(0, index + 1);
  }
  return text;
}

/** Splits at spaces, whatever is quoted. */
export function fields(text: string): readonly string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}
