import { formatDuration } from '@wherry/base';
import type { HealthCheck } from '../dockerfile/instruction.ts';

const short: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
};

/** A string as Go's `%q` writes it; histories of images hold such. */
export function quoteGo(text: string): string {
  const written = [...text].map((character) => {
    const code = character.codePointAt(0)!;
    if (short[character]) return short[character];
    if (code < 0x20 || code === 0x7f) return `\\x${code.toString(16).padStart(2, '0')}`;
    if (code < 0x7f || !/[\p{C}\p{Z}]/u.test(character)) return character;
    return code < 0x10000 ? `\\u${code.toString(16).padStart(4, '0')}` : `\\U${code.toString(16).padStart(8, '0')}`;
  });
  return `"${written.join('')}"`;
}

/** `["a" "b"]`: `%q` of a list. */
export function quoteGoList(words: readonly string[]): string {
  return `[${words.map((word) => quoteGo(word)).join(' ')}]`;
}

/** `%q` of docker's `*HealthConfig`: the count of retries comes out as a character. */
export function formatHealthCheck(check: HealthCheck): string {
  const times = [check.Interval, check.Timeout, check.StartPeriod, check.StartInterval];
  const written = times.map((time) => `"${formatDuration(time ?? 0)}"`);
  const retries = check.Retries ?? 0;
  const character = quoteGo(String.fromCodePoint(retries)).slice(1, -1);
  const quoted = character === "'" ? "\\'" : character === '\\"' ? '"' : character;
  return `&{${quoteGoList(check.Test)} ${written.join(' ')} '${quoted}'}`;
}
