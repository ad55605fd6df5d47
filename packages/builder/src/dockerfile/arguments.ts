import { WherryError } from '@wherry/base';
import type { InstructionLine } from './lines.ts';
import { fields, jsonStrings, splitWords } from './words.ts';

/** An instruction's arguments, split as its keyword asks for, as they are written; `ENV` and `LABEL`: key, value, … */
export interface Arguments {
  readonly line: InstructionLine;
  readonly words: readonly string[];
  /** The words came from a JSON array. */
  readonly json: boolean;
}

/** First pass over a line; what is wrong here is wrong with the file as such. Throws `invalid`. */
export function readArguments(line: InstructionLine, escapeToken: string): Arguments {
  const { rest } = line;
  switch (line.keyword.toUpperCase()) {
    case 'ENV':
    case 'LABEL':
      return { line, words: pairs(rest, line.keyword.toUpperCase(), escapeToken), json: false };
    case 'ARG':
      return { line, words: splitWords(rest, escapeToken), json: false };
    case 'FROM':
    case 'EXPOSE':
      return { line, words: fields(rest), json: false };
    case 'MAINTAINER':
    case 'STOPSIGNAL':
    case 'USER':
    case 'WORKDIR':
    case 'ONBUILD':
      return { line, words: rest === '' ? [] : [rest], json: false };
    case 'ADD':
    case 'COPY':
    case 'VOLUME':
      return jsonOr(line, rest, fields);
    case 'HEALTHCHECK':
      return healthArguments(line, rest);
    default:
      return jsonOr(line, rest, (text) => (text === '' ? [] : [text]));
  }
}

function jsonOr(line: InstructionLine, text: string, split: (text: string) => readonly string[]): Arguments {
  const strings = jsonStrings(text);
  return { line, words: strings ?? split(text), json: strings !== undefined };
}

function healthArguments(line: InstructionLine, rest: string): Arguments {
  const [, type = '', after = ''] = /^(\S+)\s*([\s\S]*)$/.exec(rest) ?? [];
  if (type === '') return { line, words: [], json: false };
  const { words, json } = jsonOr(line, after, (text) => (text === '' ? [] : [text]));
  return { line, words: [type, ...words], json };
}

/** `NAME=value …`, or the old `NAME value with spaces`: whichever of `=` and a space comes first. */
function pairs(rest: string, keyword: string, escapeToken: string): string[] {
  const words = splitWords(rest, escapeToken);
  const first = words[0];
  if (first === undefined) return [];
  if (!first.includes('=')) {
    const [, key, value] = /^(\S+)\s+([\s\S]+)$/.exec(rest) ?? [];
    if (key === undefined || value === undefined) {
      throw new WherryError('invalid', `${keyword} must have two arguments`);
    }
    return [key, value];
  }
  return words.flatMap((word) => {
    const equals = word.indexOf('=');
    if (equals < 0) {
      throw new WherryError(
        'invalid',
        `Syntax error - can't find = in ${JSON.stringify(word)}. Must be of the form: name=value`,
      );
    }
    return [word.slice(0, equals), word.slice(equals + 1)];
  });
}
