import { parseDuration, WherryError } from '@wherry/base';
import type { Arguments } from './arguments.ts';
import { Flags } from './flags.ts';
import { parseHeredoc } from './heredocs.ts';
import {
  type CommandLine,
  type CopyInstruction,
  type FromInstruction,
  type HealthCheck,
  type Instruction,
  instructionNames,
  type MountOptions,
  type Pair,
  type RunInstruction,
} from './instruction.ts';
import { suggestion } from './suggestion.ts';

type Name = Instruction['name'];
type Parser = (
  from: Arguments,
  written: { readonly line: number; readonly code: string },
  escapeToken: string,
) => Instruction;

/** Second pass: what the instruction says. Throws `invalid` in the words of docker's parser, without the line. */
export function parseInstruction(from: Arguments, escapeToken: string): Instruction {
  const { keyword, line, code } = from.line;
  const name = keyword.toUpperCase();
  if (!isName(name)) {
    const meant = suggestion(keyword, instructionNames);
    const cased = keyword === keyword.toLowerCase() ? lowerWord(meant) : meant;
    throw new WherryError('invalid', `unknown instruction: ${keyword}${cased}`);
  }
  return parsers[name](from, { line, code }, escapeToken);
}

function isName(name: string): name is Name {
  return (instructionNames as readonly string[]).includes(name);
}

/** Only the instruction's name is in upper case. */
function lowerWord(suggested: string): string {
  return suggested.toLowerCase();
}

const parsers: Record<Name, Parser> = {
  FROM: parseFrom,
  RUN: parseRun,
  COPY: parseCopy,
  ADD: parseCopy,
  ENV: (from, written) => ({ ...written, name: 'ENV', pairs: keyValues(noFlags(from), 'ENV') }),
  LABEL: (from, written) => ({ ...written, name: 'LABEL', pairs: keyValues(noFlags(from), 'LABEL') }),
  MAINTAINER: (from, written) => ({ ...written, name: 'MAINTAINER', text: onlyWord(from, 'MAINTAINER') }),
  USER: (from, written) => ({ ...written, name: 'USER', text: onlyWord(from, 'USER') }),
  WORKDIR: (from, written) => ({ ...written, name: 'WORKDIR', text: onlyWord(from, 'WORKDIR') }),
  // What looks like flags of these two is nothing to docker.
  STOPSIGNAL: (from, written) => ({ ...written, name: 'STOPSIGNAL', text: onlyWord(from, 'STOPSIGNAL', 'ignored') }),
  ARG: (from, written) => ({ ...written, name: 'ARG', pairs: atLeastOne(from, 'ARG').words.map(argument) }),
  CMD: (from, written) => ({ ...written, name: 'CMD', command: commandLine(noFlags(from)) }),
  ENTRYPOINT: (from, written) => ({ ...written, name: 'ENTRYPOINT', command: commandLine(noFlags(from)) }),
  // Go's sort.Strings orders by bytes.
  EXPOSE: (from, written) => ({
    ...written,
    name: 'EXPOSE',
    ports: [...noFlags(atLeastOne(from, 'EXPOSE')).words].sort(),
  }),
  VOLUME: (from, written) => ({ ...written, name: 'VOLUME', paths: volumes(noFlags(atLeastOne(from, 'VOLUME'))) }),
  SHELL: (from, written) => {
    const { words, json } = atLeastOne(noFlags(from), 'SHELL');
    if (!json) throw new WherryError('invalid', 'SHELL requires the arguments to be in JSON form');
    return { ...written, name: 'SHELL', words };
  },
  HEALTHCHECK: (from, written) => ({
    ...written,
    name: 'HEALTHCHECK',
    check: healthCheck(atLeastOne(from, 'HEALTHCHECK')),
  }),
  ONBUILD: (from, written) => ({ ...written, name: 'ONBUILD', trigger: trigger(noFlags(atLeastOne(from, 'ONBUILD'))) }),
};

function noFlags(from: Arguments): Arguments {
  new Flags(from.line.flags, {});
  return from;
}

function atLeastOne(from: Arguments, name: string): Arguments {
  if (from.words.length === 0) throw new WherryError('invalid', `${name} requires at least one argument`);
  return from;
}

function onlyWord(from: Arguments, name: string, flags: 'refused' | 'ignored' = 'refused'): string {
  const { words } = from;
  if (words.length !== 1) throw new WherryError('invalid', `${name} requires exactly one argument`);
  if (flags === 'refused') noFlags(from);
  return words[0]!;
}

function keyValues(from: Arguments, name: string): Pair[] {
  const { words } = atLeastOne(from, name);
  const pairs: Pair[] = [];
  for (let at = 0; at < words.length; at += 2) {
    if (words[at] === '') throw new WherryError('invalid', `${name} names can not be blank`);
    pairs.push({ key: words[at]!, value: words[at + 1] ?? '' });
  }
  return pairs;
}

function argument(word: string): { key: string; value: string | undefined } {
  const equals = word.indexOf('=');
  if (equals < 0) return { key: word, value: undefined };
  if (equals === 0) throw new WherryError('invalid', 'ARG names can not be blank');
  return { key: word.slice(0, equals), value: word.slice(equals + 1) };
}

function volumes({ words }: Arguments): string[] {
  const paths = words.map((word) => word.trim());
  if (paths.includes('')) throw new WherryError('invalid', 'VOLUME specified can not be an empty string');
  return paths;
}

function commandLine({ words, json, line }: Arguments): CommandLine {
  return { form: json ? 'exec' : 'shell', words, heredocs: line.heredocs };
}

const stageName = /^[a-z][a-z0-9-_.]*$/;

function parseFrom(from: Arguments, written: { line: number; code: string }): FromInstruction {
  const { words } = from;
  const [base = '', as = '', written2 = ''] = words;
  if (words.length !== 1 && !(words.length === 3 && as.toLowerCase() === 'as')) {
    throw new WherryError('invalid', 'FROM requires either one or three arguments');
  }
  const alias = words.length === 3 ? written2.toLowerCase() : undefined;
  if (alias !== undefined && !stageName.test(alias)) {
    const name = JSON.stringify(written2);
    throw new WherryError(
      'invalid',
      `invalid name for build stage: ${name}, name can't start with a number or contain symbols`,
    );
  }
  const flags = new Flags(from.line.flags, { platform: 'text' });
  return { ...written, name: 'FROM', base, alias, platform: flags.text('platform') };
}

function parseCopy(from: Arguments, written: { line: number; code: string }, escapeToken: string): CopyInstruction {
  const name = from.line.keyword.toUpperCase() as 'COPY' | 'ADD';
  const { words, line } = from;
  if (words.length < 2) {
    const fault = 'requires at least two arguments, but only one was provided. Destination could not be determined';
    throw new WherryError('invalid', `${name} ${fault}`);
  }
  const both = { chown: 'text', chmod: 'text', link: 'boolean', exclude: 'list' } as const;
  const add = { checksum: 'text', 'keep-git-dir': 'boolean', unpack: 'boolean' } as const;
  const flags = new Flags(
    line.flags,
    name === 'ADD' ? { ...both, ...add } : { ...both, from: 'text', parents: 'boolean' },
  );
  const destination = words.at(-1)!;
  const isHeredoc = (word: string) => !from.json && line.heredocs.some((heredoc) => heredoc.word === word);
  if (!from.json && parseHeredoc(destination, escapeToken)) {
    throw new WherryError('invalid', `${name} cannot accept a heredoc as a destination`);
  }
  const sources = words.slice(0, -1);
  return {
    ...written,
    name,
    sources: sources.filter((word) => !isHeredoc(word)),
    files: line.heredocs.filter((heredoc) => sources.includes(heredoc.word)),
    destination,
    from: flags.text('from'),
    owner: flags.text('chown'),
    mode: flags.text('chmod'),
    link: flags.boolean('link') ?? false,
    parents: flags.boolean('parents') ?? false,
    exclude: flags.list('exclude'),
    checksum: flags.text('checksum'),
    unpack: flags.boolean('unpack'),
    keepsGitFolder: flags.boolean('keep-git-dir') ?? false,
  };
}

function parseRun(from: Arguments, written: { line: number; code: string }): RunInstruction {
  const flags = new Flags(from.line.flags, { mount: 'list', network: 'text', security: 'text' });
  const network = flags.text('network');
  if (network !== undefined && network !== 'default' && network !== 'none' && network !== 'host') {
    throw new WherryError('invalid', `invalid network mode ${JSON.stringify(network)}`);
  }
  const security = flags.text('security');
  if (security !== undefined && security !== 'sandbox' && security !== 'insecure') {
    throw new WherryError('invalid', `security ${JSON.stringify(security)} is not valid`);
  }
  return {
    ...written,
    name: 'RUN',
    command: commandLine(from),
    mounts: flags.list('mount').map(mountOptions),
    network,
    security,
  };
}

/** `type=cache,target=/x,readonly`: comma-separated, values may be quoted as in CSV. */
function mountOptions(text: string): MountOptions {
  const options = new Map<string, string | undefined>();
  for (const [, quoted, plain = ''] of text.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)) {
    const field = quoted === undefined ? plain : quoted.replaceAll('""', '"');
    const equals = field.indexOf('=');
    const key = (equals < 0 ? field : field.slice(0, equals)).trim().toLowerCase();
    if (key === '') throw new WherryError('invalid', `invalid mount option in ${JSON.stringify(text)}`);
    options.set(key, equals < 0 ? undefined : field.slice(equals + 1));
  }
  return options;
}

function healthCheck(from: Arguments): HealthCheck {
  const [written = '', ...words] = from.words;
  const type = written.toUpperCase();
  const flags = new Flags(from.line.flags, {
    interval: 'text',
    timeout: 'text',
    'start-period': 'text',
    'start-interval': 'text',
    retries: 'text',
  });
  if (type === 'NONE') {
    if (words.length > 0) throw new WherryError('invalid', 'HEALTHCHECK NONE takes no arguments');
    return { Test: ['NONE'] };
  }
  if (type !== 'CMD') {
    throw new WherryError('invalid', `Unknown type ${JSON.stringify(type)} in HEALTHCHECK (try CMD)`);
  }
  if (words.length === 0) throw new WherryError('invalid', 'Missing command after HEALTHCHECK CMD');
  const times = {
    Interval: interval(flags, 'interval'),
    Timeout: interval(flags, 'timeout'),
    StartPeriod: interval(flags, 'start-period'),
    StartInterval: interval(flags, 'start-interval'),
    Retries: retries(flags.text('retries')),
  };
  const set = Object.fromEntries(Object.entries(times).filter(([, value]) => value > 0));
  return { Test: [from.json ? 'CMD' : 'CMD-SHELL', ...words], ...set };
}

function interval(flags: Flags, name: string): number {
  const text = flags.text(name);
  if (text === undefined) return 0;
  const nanoseconds = parseDuration(text);
  if (nanoseconds !== 0 && nanoseconds < 1_000_000) {
    throw new WherryError('invalid', `Interval ${JSON.stringify(name)} cannot be less than 1ms`);
  }
  return nanoseconds;
}

function retries(text: string | undefined): number {
  if (text === undefined) return 0;
  if (!/^[+-]?\d+$/.test(text)) {
    throw new WherryError('invalid', `strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  }
  const count = Number(text);
  if (count < 0) throw new WherryError('invalid', `--retries cannot be negative (${count})`);
  return count;
}

function trigger({ words, line }: Arguments): string {
  const text = words[0]!;
  const [first = ''] = text.split(/\s/);
  const name = first.toUpperCase();
  if (name === 'ONBUILD') {
    throw new WherryError('invalid', "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  }
  if (name === 'MAINTAINER' || name === 'FROM') {
    throw new WherryError('invalid', `${name} isn't allowed as an ONBUILD trigger`);
  }
  const files = line.heredocs.map((heredoc) => `\n${heredoc.content}${heredoc.name}`);
  return text + line.trailing + files.join('');
}
