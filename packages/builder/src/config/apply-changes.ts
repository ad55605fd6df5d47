import { WherryError } from '@wherry/base';
import { readArguments } from '../dockerfile/arguments.ts';
import type { ConfigInstruction, Instruction, StageInstruction } from '../dockerfile/instruction.ts';
import { type InstructionLine, readLines } from '../dockerfile/lines.ts';
import { parseInstruction } from '../dockerfile/parse-instruction.ts';
import { applyInstruction, type Config, workingDirectory } from './apply.ts';
import { expandInstruction } from './expand-instruction.ts';

/** What `--change` may say, as dockerd has it. */
const allowed: ReadonlySet<string> = new Set([
  'CMD',
  'ENTRYPOINT',
  'ENV',
  'EXPOSE',
  'HEALTHCHECK',
  'LABEL',
  'ONBUILD',
  'STOPSIGNAL',
  'USER',
  'VOLUME',
  'WORKDIR',
] satisfies Instruction['name'][]);

/**
 * Applies instructions of `docker commit --change` and `docker import --change`, all together one Dockerfile without
 * stages. Throws `invalid` in dockerd's words.
 */
export function applyChanges(config: Config, changes: readonly string[]): Config {
  if (changes.length === 0) return config;
  const { instructions, escapeToken } = readLines(changes.join('\n'));
  for (const { keyword } of instructions) {
    if (allowed.has(keyword.toUpperCase())) continue;
    throw new WherryError('invalid', `${keyword} is not a valid change command`);
  }
  let state = { config, commandSet: false };
  for (const line of instructions) state = applyLine(state, line, escapeToken);
  return state.config;
}

interface State {
  readonly config: Config;
  readonly commandSet: boolean;
}

function applyLine({ config, commandSet }: State, line: InstructionLine, escapeToken: string): State {
  const instruction = parseInstruction(readArguments(line, escapeToken), escapeToken) as StageInstruction;
  const env = config.Env ?? [];
  const variable = (name: string): string | undefined =>
    env.find((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1);
  if (instruction.name === 'WORKDIR') {
    const { text } = expandInstruction(instruction, { escapeToken, variable });
    return { config: { ...config, WorkingDir: workingDirectory(config, text) }, commandSet };
  }
  const own = expandInstruction(instruction as ConfigInstruction, { escapeToken, variable });
  return { config: applyInstruction(config, own, commandSet).config, commandSet: commandSet || own.name === 'CMD' };
}
