import { WherryError } from '@wherry/base';

/** A shell pattern of `*`, `?` and literals (POSIX XCU 2.13, without bracket expressions), by characters. */
export type Pattern = readonly (typeof anyText | typeof anyCharacter | string)[];

const anyText = Symbol('*');
const anyCharacter = Symbol('?');

/** Parses a pattern; `\*`, `\?`, `\\` are literal, as are `\}` and `\/`, which end substitutions otherwise. */
export function parsePattern(text: string): Pattern {
  const pattern: (typeof anyText | typeof anyCharacter | string)[] = [];
  const characters = [...text];
  for (let at = 0; at < characters.length; at++) {
    const character = characters[at]!;
    if (character === '*') pattern.push(anyText);
    else if (character === '?') pattern.push(anyCharacter);
    else if (character === '\\') {
      const next = characters[++at] ?? '';
      if (!['*', '?', '\\', '}', '/'].includes(next)) {
        throw new WherryError('invalid', `invalid pattern (${text}) in substitution: invalid escapeToken '\\${next}'`);
      }
      pattern.push(next);
    } else pattern.push(character);
  }
  return pattern;
}

/** The value without the prefix that the pattern matches; the shortest, or the longest. */
export function trimPrefix(value: string, pattern: Pattern, longest: boolean): string {
  const characters = [...value];
  const end = matchAt(characters, 0, pattern, longest);
  return end === undefined ? value : characters.slice(end).join('');
}

/** The value without the suffix that the pattern matches; the shortest, or the longest. */
export function trimSuffix(value: string, pattern: Pattern, longest: boolean): string {
  const characters = [...value].reverse();
  const end = matchAt(characters, 0, [...pattern].reverse(), longest);
  return end === undefined ? value : characters.slice(end).reverse().join('');
}

/** Replaces the first, or every, longest match. */
export function replacePattern(value: string, pattern: Pattern, replacement: string, every: boolean): string {
  const characters = [...value];
  let result = '';
  for (let at = 0; at < characters.length || at === 0; ) {
    const end = matchAt(characters, at, pattern, true);
    if (end !== undefined) {
      result += replacement;
      if (!every) return result + characters.slice(end).join('');
      if (end === characters.length) return result;
    }
    if (end === undefined || end === at) result += characters[at++] ?? '';
    else at = end;
  }
  return result;
}

/** Where a match that starts at `start` ends. All states at once: no pattern takes more than length × length steps. */
function matchAt(text: readonly string[], start: number, pattern: Pattern, longest: boolean): number | undefined {
  let states = reach(new Set([0]), pattern);
  let found: number | undefined;
  for (let at = start; ; at++) {
    if (states.has(pattern.length)) {
      found = at;
      if (!longest) return found;
    }
    const character = text[at];
    if (character === undefined || states.size === 0) return found;
    const next = new Set<number>();
    for (const state of states) {
      const part = pattern[state];
      if (part === anyText) next.add(state);
      else if (part === anyCharacter || part === character) next.add(state + 1);
    }
    states = reach(next, pattern);
  }
}

/** Adds the states behind each `*`, which may match nothing. */
function reach(states: Set<number>, pattern: Pattern): Set<number> {
  for (const state of states) if (pattern[state] === anyText) states.add(state + 1);
  return states;
}
