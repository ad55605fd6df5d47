import { codeOf, messageOf, WherryError } from '@wherry/base';
import { readArguments } from './arguments.ts';
import type { ArgInstruction, FromInstruction, StageInstruction } from './instruction.ts';
import { readLines } from './lines.ts';
import { parseInstruction } from './parse-instruction.ts';

export interface Dockerfile {
  /** `ARG`s before the first `FROM`. */
  readonly globals: readonly ArgInstruction[];
  readonly stages: readonly Stage[];
  readonly escapeToken: string;
  readonly directives: ReadonlyMap<string, string>;
  readonly warnings: readonly string[];
}

export interface Stage {
  readonly from: FromInstruction;
  readonly instructions: readonly StageInstruction[];
}

/**
 * Parses a Dockerfile. Throws `invalid` in dockerd's words: `failed to parse NAME: …` where the file cannot be read,
 * `dockerfile parse error on line N: …` where an instruction is wrong; `details.line` says where.
 */
export function parseDockerfile(text: string, name: string): Dockerfile {
  if (text === '') throw new WherryError('invalid', `the Dockerfile (${name}) cannot be empty`);
  const { lines, written } = worded(`failed to parse ${name}: `, undefined, () => {
    const lines = readLines(text);
    return { lines, written: lines.instructions.map((line) => readArguments(line, lines.escapeToken)) };
  });
  const globals: ArgInstruction[] = [];
  const stages: { from: FromInstruction; instructions: StageInstruction[] }[] = [];
  for (const one of written) {
    const { line } = one.line;
    const instruction = worded(`dockerfile parse error on line ${line}: `, line, () =>
      parseInstruction(one, lines.escapeToken),
    );
    const stage = stages.at(-1);
    if (instruction.name === 'FROM') stages.push({ from: instruction, instructions: [] });
    else if (stage !== undefined) stage.instructions.push(instruction);
    else if (instruction.name === 'ARG') globals.push(instruction);
    else throw new WherryError('invalid', 'no build stage in current context', { details: { line } });
  }
  return { globals, stages, escapeToken: lines.escapeToken, directives: lines.directives, warnings: lines.warnings };
}

/** Parses one instruction that stands alone, as `docker commit --change` and build triggers have them. */
export function parseSingle(text: string, escapeToken: string): StageInstruction | FromInstruction {
  const prefix = escapeToken === '\\' ? '' : `# escape=${escapeToken}\n`;
  const lines = readLines(prefix + text);
  const [line, ...others] = lines.instructions;
  if (line === undefined || others.length > 0) {
    throw new WherryError('invalid', 'onbuild trigger should be a single expression');
  }
  return parseInstruction(readArguments(line, lines.escapeToken), lines.escapeToken);
}

function worded<T>(prefix: string, line: number | undefined, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (codeOf(error) !== 'invalid') throw error;
    const details = line === undefined ? (error as WherryError).details : { line };
    throw new WherryError('invalid', prefix + messageOf(error), { cause: error, ...(details && { details }) });
  }
}
