import { codeOf, messageOf, WherryError } from '@wherry/base';
import type { ConfigInstruction, Instruction } from '../dockerfile/instruction.ts';
import { parseSingle } from '../dockerfile/parse.ts';
import { applyInstruction, type Config, workingDirectory } from './apply.ts';
import { expandInstruction } from './expand-instruction.ts';

/** What `--change` may say, as dockerd has it. */
const allowed: ReadonlySet<Instruction['name']> = new Set([
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
] as const);

/** Applies instructions of `docker commit --change` and `docker import --change`. Throws `invalid` in dockerd's words. */
export function applyChanges(config: Config, changes: readonly string[]): Config {
  let next = config;
  let commandSet = false;
  for (const change of changes) {
    if (change.trim() === '') continue;
    const instruction = parsed(change);
    if (!allowed.has(instruction.name)) {
      throw new WherryError('invalid', `${instruction.name.toLowerCase()} is not a valid change command`);
    }
    const env = next.Env ?? [];
    const variable = (name: string): string | undefined =>
      env.find((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1);
    if (instruction.name === 'WORKDIR') {
      const { text } = expandInstruction(instruction, { escapeToken: '\\', variable });
      next = { ...next, WorkingDir: workingDirectory(next, text) };
      continue;
    }
    const own = expandInstruction(instruction as ConfigInstruction, { escapeToken: '\\', variable });
    next = applyInstruction(next, own, commandSet).config;
    commandSet ||= own.name === 'CMD';
  }
  return next;
}

function parsed(change: string): Instruction {
  try {
    return parseSingle(change, '\\');
  } catch (error) {
    if (codeOf(error) !== 'invalid') throw error;
    throw new WherryError('invalid', messageOf(error), { cause: error });
  }
}
