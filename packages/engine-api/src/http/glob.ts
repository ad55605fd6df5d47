import { WherryError } from '@wherry/base';

/** A shell pattern as Go's `path.Match` takes it: `*` and `?` stop at slashes. Throws `invalid` for a bad one. */
export function globPattern(pattern: string): RegExp {
  let source = '';
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern[at]!;
    if (character === '*') source += '[^/]*';
    else if (character === '?') source += '[^/]';
    else if (character === '\\') {
      if (++at >= pattern.length) throw badPattern();
      source += literal(pattern[at]!);
    } else if (character === '[') {
      const end = pattern.indexOf(']', at + 2);
      if (end < 0) throw badPattern();
      const set = pattern.slice(at + 1, end);
      const negated = set.startsWith('^');
      source += `[${negated ? '^' : ''}${set.slice(negated ? 1 : 0).replace(/[\\\]^[]/g, '\\$&')}]`;
      at = end;
    } else source += literal(character);
  }
  try {
    return new RegExp(`^${source}$`, 's');
  } catch {
    throw badPattern();
  }
}

function literal(character: string): string {
  return character.replace(/[.*+?^${}()|[\]\\/]/, '\\$&');
}

function badPattern(): WherryError {
  return new WherryError('invalid', 'syntax error in pattern');
}
