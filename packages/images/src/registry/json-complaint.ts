/**
 * What Go's decoder says of a text that is no JSON: what people search for when a proxy answers in a registry's stead
 * (`invalid character '<' looking for beginning of value`).
 */
export function jsonComplaint(text: string): string {
  const start = text.trimStart();
  const first = [...start][0];
  if (first === undefined) return 'unexpected end of JSON input';
  const literal = ['true', 'false', 'null'].find((word) => word.startsWith(first));
  if (literal !== undefined) {
    const at = [...literal].findIndex((letter, index) => start[index] !== letter);
    const found = start[at];
    if (at > 0 && found !== undefined) {
      return `invalid character ${quoted(found)} in literal ${literal} (expecting ${quoted(literal[at]!)})`;
    }
    return at > 0 ? 'unexpected end of JSON input' : 'invalid JSON';
  }
  if (!/[{["\-0-9]/.test(first)) return `invalid character ${quoted(first)} looking for beginning of value`;
  try {
    JSON.parse(text);
  } catch (error) {
    if (/end of JSON input|Unterminated/.test((error as Error).message)) return 'unexpected end of JSON input';
  }
  return 'invalid JSON';
}

function quoted(character: string): string {
  return character === "'" ? `'\\''` : `'${character}'`;
}
