/** Whether a path is a pattern of Go's `filepath.Match`; `\` escapes. */
export function hasWildcards(path: string): boolean {
  return /[*?[]/.test(path.replace(/\\./g, ''));
}

/** Matches whole paths: `*` and `?` stop at a slash, `**` does not, `[a-z]` and `[^a]`. `undefined`: no pattern. */
export function wildcardPattern(path: string): RegExp | undefined {
  let source = '';
  for (let at = 0; at < path.length; at++) {
    const character = path[at]!;
    if (character === '*') {
      const isDeep = path[at + 1] === '*';
      if (isDeep) at++;
      // `**/` also stands for no folder at all.
      if (isDeep && path[at + 1] === '/') {
        at++;
        source += '(?:.*/)?';
      } else source += isDeep ? '.*' : '[^/]*';
    } else if (character === '?') source += '[^/]';
    else if (character === '[') {
      const [whole = '', not = '', set = ''] = /^\[([\^!]?)((?:\\.|[^\]\\])+)\]/.exec(path.slice(at)) ?? [];
      if (whole === '') return undefined;
      source += `[${not && '^'}${set.replace(/[[\]^]/g, '\\$&')}]`;
      at += whole.length - 1;
    } else source += literal(character === '\\' ? (path[++at] ?? '') : character);
  }
  try {
    return new RegExp(`^${source}$`, 's');
  } catch {
    return undefined;
  }
}

function literal(character: string): string {
  return character.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}
