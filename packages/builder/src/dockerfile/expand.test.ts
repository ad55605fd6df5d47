import { describe, expect, it } from 'vitest';
import { expandWord, expandWords } from './expand.ts';

const variables: Readonly<Record<string, string>> = {
  A: 'a b',
  EMPTY: '',
  PATH1: '/usr/local/lib/x.tar.gz',
  STARS: 'a*b*c',
};
const options = {
  escapeToken: '\\',
  variable: (name: string) => (Object.hasOwn(variables, name) ? variables[name] : undefined),
};
const v = (text: string): string => `$\{${text}}`;

describe('words of a Dockerfile', () => {
  it.each([
    ['plain', 'plain'],
    ['$A', 'a b'],
    [`x${v('A')}y`, 'xa by'],
    ['$UNSET', ''],
    ['$', '$'],
    ['$$', ''],
    ['100%', '100%'],
    ['\\$A', '$A'],
    ["'$A'", '$A'],
    ['"$A"', 'a b'],
    ['"\\"q\\" \\x"', '"q" \\x'],
    ["it\\'s", "it's"],
    ['trailing\\', 'trailing'],
    [v('A:-no'), 'a b'],
    [v('UNSET:-d $A'), 'd a b'],
    [v('EMPTY:-d'), 'd'],
    [v('EMPTY-d'), ''],
    [v('UNSET-d'), 'd'],
    [v('A:+set'), 'set'],
    [v('EMPTY:+set'), ''],
    [v('EMPTY+set'), 'set'],
    [v('UNSET+set'), ''],
    [v(`UNSET:-${v('UNSET:-deep')}`), 'deep'],
    [v('PATH1#*/'), 'usr/local/lib/x.tar.gz'],
    [v('PATH1##*/'), 'x.tar.gz'],
    [v('PATH1%.*'), '/usr/local/lib/x.tar'],
    [v('PATH1%%.*'), '/usr/local/lib/x'],
    [v('PATH1%nothing'), '/usr/local/lib/x.tar.gz'],
    [v('PATH1/l/L'), '/usr/Local/lib/x.tar.gz'],
    [v('PATH1//l/L'), '/usr/LocaL/Lib/x.tar.gz'],
    [v('PATH1//?tar*/'), '/usr/local/lib/x'],
    [v('PATH1//\\//_'), '_usr_local_lib_x.tar.gz'],
    [v('STARS//\\*/-'), 'a-b-c'],
    [v('A/ /'), 'ab'],
    [v('UNSET#x'), ''],
    ['$1x', 'x'],
    ['é$A', 'éa b'],
  ])('%s is %s', (word, expected) => {
    expect(expandWord(word, options)).toBe(expected);
  });

  it.each([
    [v('A'), ['a', 'b']],
    ['"$A" c', ['a b', 'c']],
    ["'x y'z", ['x yz']],
    ['  ', []],
    ['$EMPTY', []],
  ])('%s are the words %j', (word, expected) => {
    expect(expandWords(word, options)).toEqual(expected);
  });

  it.each([
    ['$' + '{A', 'unsupported modifier (\ufffd) in substitution'],
    ['$' + '{', "syntax error: missing '}'"],
    ['$' + "{x:-'y}", "syntax error: missing '}'"],
    ['$' + '{}', 'syntax error: bad substitution'],
    ['$' + '{:x}', 'syntax error: bad substitution'],
    ['$' + '{A:x}', 'unsupported modifier (:x) in substitution'],
    ['$' + '{A!x}', 'unsupported modifier (!) in substitution'],
    ['$' + '{UNSET:?}', 'UNSET: is not allowed to be unset'],
    ['$' + '{EMPTY:?}', 'EMPTY: is not allowed to be empty'],
    ['$' + '{UNSET?my words}', 'UNSET: my words'],
    ['"x', 'unexpected end of statement while looking for matching double-quote'],
    ["'x", 'unexpected end of statement while looking for matching single-quote'],
    ['$' + '{A/x}', "syntax error: missing '/' in $" + '{}'],
  ])('%s is refused: %s', (word, fault) => {
    expect(() => expandWord(word, options)).toThrow(`failed to process ${JSON.stringify(word)}: ${fault}`);
  });

  it('takes another escape character', () => {
    const windows = { ...options, escapeToken: '`' };
    expect(expandWord('c:\\x `$A $A', windows)).toBe('c:\\x $A a b');
  });

  it('leaves quotes alone in a here-document', () => {
    const text = { ...options, quotesAreText: true };
    expect(expandWord('say "$A" \\$A \\n it\'s', text)).toBe('say "a b" $A \\n it\'s');
  });

  it('gives quoted text back whatever it holds', () => {
    const random = randomNumbers(7);
    const alphabet = ['$', '{', '}', '"', '\\', '`', ' ', 'A', ':', '-', '#', '*', 'é', '\n'];
    for (let round = 0; round < 2000; round++) {
      const text = Array.from({ length: random(12) }, () => alphabet[random(alphabet.length)]).join('');
      expect(expandWord(`'${text}'`, options)).toBe(text);
      const escaped = text.replace(/["$\\]/g, '\\$&');
      expect(expandWord(`"${escaped}"`, options)).toBe(text);
    }
  });

  it('ends with a word or an error of ours, whatever is written', () => {
    const random = randomNumbers(11);
    const alphabet = ['$', '{', '}', '"', "'", '\\', ' ', 'A', ':', '-', '+', '?', '#', '%', '/', '*', 'x'];
    for (let round = 0; round < 5000; round++) {
      const word = Array.from({ length: random(14) }, () => alphabet[random(alphabet.length)]).join('');
      try {
        expect(typeof expandWord(word, options)).toBe('string');
      } catch (error) {
        expect(error).toMatchObject({ code: 'invalid' });
      }
    }
  });

  it('is not slowed down by a pattern', () => {
    const value = 'a'.repeat(2000);
    const long = { escapeToken: '\\', variable: () => value };
    expect(expandWord(v(`X##${'*a'.repeat(20)}b`), long)).toBe(value);
  });
});

/** A small repeatable source of numbers below a limit. */
function randomNumbers(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor((state / 2 ** 31) * limit);
  };
}
