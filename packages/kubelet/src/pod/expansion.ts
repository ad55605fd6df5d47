/**
 * Expands `$(NAME)` as upstream does (`third_party/forked/golang/expansion`): `$$` is a `$` that starts
 * nothing, an unknown name stays as it stands, an unclosed `$(` too.
 */
export function expand(text: string, lookup: (name: string) => string | undefined): string {
  let result = '';
  for (let at = 0; at < text.length; at++) {
    const character = text[at] as string;
    const next = text[at + 1];
    if (character !== '$' || next === undefined) result += character;
    else if (next === '$') {
      result += '$';
      at++;
    } else if (next === '(') {
      const end = text.indexOf(')', at + 2);
      if (end < 0) {
        result += '$(';
        at++;
      } else {
        const name = text.slice(at + 2, end);
        result += lookup(name) ?? `$(${name})`;
        at = end;
      }
    } else {
      result += character + next;
      at++;
    }
  }
  return result;
}
