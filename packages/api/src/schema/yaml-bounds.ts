import { WherryError } from '@wherry/base';
import { Lexer } from 'yaml';

/** Brackets within brackets. */
const deepestFlow = 500;
/** Columns by which a line may be indented: a block lies deeper than the one around it by at least one. */
const widestIndent = 1000;
/** `- - - x`: blocks that begin on one line. */
const mostOnLine = 100;

/**
 * The parser needs some 15 µs a token, during which nothing else is served: a text of more is refused. It
 * is about 25000 lines; as JSON it would be read in a hundredth of the time.
 */
const mostTokens = 100_000;

/** The lexer's mark before a scalar. */
const scalarMark = '\x1f';

/**
 * Refuses length and nesting that the YAML parser, which is recursive and builds patterns as wide as the
 * indentation, would not survive: running out of memory there ends the process. Errors `invalid`,
 * `tooLarge`.
 */
export function checkYamlBounds(text: string): void {
  let flow = 0;
  let column = 0;
  let onLine = 0;
  let scalar = false;
  let tokens = 0;
  for (const token of new Lexer().lex(text)) {
    if (++tokens > mostTokens) throw new WherryError('tooLarge', 'the YAML is too long: send it as JSON');
    if (scalar) {
      const newline = token.lastIndexOf('\n');
      column = newline < 0 ? column + token.length : token.length - newline - 1;
      scalar = false;
      continue;
    }
    if (token === scalarMark) {
      scalar = true;
      continue;
    }
    if (token.endsWith('\n')) {
      column = 0;
      onLine = 0;
      continue;
    }
    if (token === '[' || token === '{') {
      if (++flow > deepestFlow) throw tooDeep();
    } else if (token === ']' || token === '}') flow = Math.max(flow - 1, 0);
    else if (flow === 0 && (token === '-' || token === '?' || token === ':')) {
      if (++onLine > mostOnLine) throw tooDeep();
    } else if (flow === 0 && column === 0 && token.length > widestIndent && token.trim() === '') throw tooDeep();
    column += token.length;
  }
}

function tooDeep(): WherryError {
  return new WherryError('invalid', 'error converting YAML to JSON: yaml: exceeded max depth');
}
