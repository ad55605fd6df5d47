import { WherryError } from '@wherry/base';
import { type Heredoc, heredocsIn } from './heredocs.ts';
import { jsonStrings, takeFlags } from './words.ts';

/** One instruction of a Dockerfile: its lines joined, comments left out. */
export interface InstructionLine {
  /** The first word, as it is written. */
  readonly keyword: string;
  readonly flags: readonly string[];
  /** What follows the keyword and its flags. */
  readonly rest: string;
  /** All of it, on one line. */
  readonly code: string;
  /** White space behind it, which `ONBUILD` keeps. */
  readonly trailing: string;
  /** Of the first line, from 1. */
  readonly line: number;
  readonly heredocs: readonly Heredoc[];
}

export interface DockerfileLines {
  readonly instructions: readonly InstructionLine[];
  readonly escapeToken: string;
  /** `syntax`, `escape` and `check`, from the comments at the top. */
  readonly directives: ReadonlyMap<string, string>;
  readonly warnings: readonly string[];
}

/** Bytes of a Dockerfile; docker has no bound but memory. */
export const largestDockerfile = 4 * 1024 * 1024;

/**
 * Reads a Dockerfile's lines (Dockerfile reference, "Format", "Parser directives", "Here-Documents"). Throws `invalid`
 * with the words of docker's parser.
 */
export function readLines(text: string): DockerfileLines {
  if (text.length > largestDockerfile) throw new WherryError('tooLarge', 'the Dockerfile is too large');
  const source = new Source(
    text
      .replace(/^\ufeff/, '')
      .replace(/\n$/, '')
      .split('\n'),
  );
  const directives = readDirectives(source.lines);
  const escapeToken = directives.get('escape') ?? '\\';
  const instructions: InstructionLine[] = [];
  const warnings: string[] = [];
  for (;;) {
    const first = source.next();
    if (first === undefined) break;
    const line = source.number;
    if (isComment(first) || first.trim() === '') continue;
    const { text: whole, hasEmptyLine } = joinLines(first, source, escapeToken);
    if (hasEmptyLine) warnings.push(`Empty continuation line found in: ${whole}`);
    instructions.push(readInstruction(whole, line, escapeToken, source));
  }
  if (warnings.length > 0) warnings.push('Empty continuation lines will become errors in a future release.');
  if (instructions.length === 0) throw new WherryError('invalid', 'file with no instructions');
  return { instructions, escapeToken, directives, warnings };
}

class Source {
  readonly lines: readonly string[];
  /** Of the line that was read last, from 1. */
  number = 0;

  constructor(lines: readonly string[]) {
    this.lines = lines;
  }

  next(): string | undefined {
    return this.lines[this.number] === undefined ? undefined : this.lines[this.number++]!.replace(/\r+$/, '');
  }
}

function readInstruction(whole: string, line: number, escapeToken: string, source: Source): InstructionLine {
  const code = whole.trim();
  const trailing = whole.slice(whole.trimEnd().length);
  const [, keyword = '', after = ''] = /^(\S+)\s*([\s\S]*)$/.exec(code) ?? [];
  const { flags, rest } = takeFlags(after, escapeToken);
  const heredocs = takesHeredocs(keyword, rest) ? heredocsIn(rest, escapeToken) : [];
  const read = heredocs.map((heredoc) => {
    const content: string[] = [];
    for (;;) {
      const next = source.next();
      if (next === undefined) throw new WherryError('invalid', 'unterminated heredoc', { details: { line } });
      if ((heredoc.stripsTabs ? next.replace(/^\t+/, '') : next) === heredoc.name) break;
      content.push(`${heredoc.stripsTabs ? next.replace(/^\t+/, '') : next}\n`);
    }
    return { ...heredoc, content: content.join('') };
  });
  return { keyword, flags, rest, code, trailing, line, heredocs: read };
}

function takesHeredocs(keyword: string, rest: string): boolean {
  if (!rest.includes('<<')) return false;
  const name = keyword.toUpperCase();
  if (name === 'ONBUILD') {
    const [, inner = '', after = ''] = /^(\S+)\s*([\s\S]*)$/.exec(rest) ?? [];
    return inner.toUpperCase() !== 'ONBUILD' && takesHeredocs(inner, after);
  }
  if (name !== 'ADD' && name !== 'COPY' && name !== 'RUN') return false;
  try {
    return jsonStrings(rest) === undefined;
  } catch {
    return false;
  }
}

/** A line that ends with the escape character goes on in the next; comments and empty lines between do not count. */
function joinLines(first: string, source: Source, escapeToken: string): { text: string; hasEmptyLine: boolean } {
  let text = '';
  let hasEmptyLine = false;
  for (let line: string | undefined = first.trimStart(); line !== undefined; ) {
    const part = continued(line, escapeToken);
    text += part ?? line;
    if (part === undefined) break;
    for (line = source.next(); line !== undefined; line = source.next()) {
      if (isComment(line)) continue;
      if (line.trim() !== '') break;
      hasEmptyLine = true;
    }
  }
  return { text, hasEmptyLine };
}

/** The line without its escape character at the end; `undefined` when the instruction ends here. */
function continued(line: string, escapeToken: string): string | undefined {
  const end = line.replace(/[ \t]+$/, '');
  if (!end.endsWith(escapeToken) || end.at(-2) === escapeToken) return undefined;
  return end.slice(0, -1);
}

function isComment(line: string): boolean {
  return line.trimStart().startsWith('#');
}

/** Only at the top, before anything else; what is no directive ends them. */
function readDirectives(lines: readonly string[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of lines) {
    const [, written = '', value = ''] = /^#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*$/.exec(line.trim()) ?? [];
    const name = written.toLowerCase();
    if (name !== 'syntax' && name !== 'escape' && name !== 'check') break;
    if (found.has(name)) throw new WherryError('invalid', `only one ${name} parser directive can be used`);
    if (name === 'escape' && value !== '\\' && value !== '`') {
      throw new WherryError('invalid', `invalid escape token '${value}' does not match \` or \\`);
    }
    found.set(name, value);
  }
  return found;
}
