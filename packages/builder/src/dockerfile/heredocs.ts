import { expandWord } from './expand.ts';
import { splitWords } from './words.ts';

export interface Heredoc {
  /** The word that ends it. */
  readonly name: string;
  /** Variables in it are replaced: the word was not quoted. */
  readonly expands: boolean;
  /** `<<-`: tabs before its lines do not count. */
  readonly stripsTabs: boolean;
  /** The word as it stands in the instruction. */
  readonly word: string;
  readonly content: string;
}

/** The here-documents that an instruction's words begin, their content still to be read. */
export function heredocsIn(text: string, escapeToken: string): readonly Heredoc[] {
  return splitWords(text, escapeToken).flatMap((word) => parseHeredoc(word, escapeToken) ?? []);
}

/** `<<EOF`, `<<-EOF`, `<<"EOF"`, `3<<EOF`; `undefined` for other words. */
export function parseHeredoc(word: string, escapeToken: string): Heredoc | undefined {
  const [, dash, written = ''] = /^\d*<<(-?)\s*([^<]+)$/.exec(word) ?? [];
  if (written === '') return undefined;
  let name: string;
  try {
    name = expandWord(written, { escapeToken, variable: () => undefined });
  } catch {
    return undefined;
  }
  if (name === '' || written.includes('$')) return undefined;
  return { name, expands: name === written, stripsTabs: dash === '-', word, content: '' };
}
