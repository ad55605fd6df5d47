import { WherryError } from '@wherry/base';
import type { BuildArguments } from '../config/build-arguments.ts';
import { expandWord } from '../dockerfile/expand.ts';
import type { Dockerfile, Stage } from '../dockerfile/parse.ts';

/** The stages of one build. */
export interface Plan {
  readonly dockerfile: Dockerfile;
  /** Up to the target; what stands behind it does not count. */
  readonly stages: readonly Stage[];
  readonly target: number;
  /** Number of each stage's `FROM` among all steps, from 1. */
  readonly firstStep: readonly number[];
  readonly total: number;
  /** Those that the target needs, itself too, in the order of the file. */
  readonly needed: readonly number[];
}

/** Finds out what has to be built. Throws `invalid` in dockerd's words. */
export function planBuild(
  dockerfile: Dockerfile,
  request: { readonly target?: string | undefined; readonly labels: Readonly<Record<string, string>> },
  args: BuildArguments,
): Plan {
  const target = targetOf(dockerfile.stages, request.target);
  const before = dockerfile.stages.slice(0, Math.max(target, 0));
  const stages = [
    ...before,
    ...dockerfile.stages.slice(target, target + 1).map((last) => labelled(last, request.labels)),
  ];
  const firstStep: number[] = [];
  let next = dockerfile.globals.length + 1;
  for (const { instructions } of stages) {
    firstStep.push(next);
    next += 1 + instructions.length;
  }
  const needed = new Set<number>();
  const visit = (index: number): void => {
    if (needed.has(index)) return;
    needed.add(index);
    for (const dependency of dependenciesOf(stages, index, dockerfile.escapeToken, args)) visit(dependency);
  };
  if (target >= 0) visit(target);
  const second = stages.findIndex((_, index) => isNamedTwice(stages, index));
  if (second >= 0) visit(second);
  const order = [...needed].sort((one, other) => one - other);
  return { dockerfile, stages, target, firstStep, total: next - 1, needed: order };
}

/** The stage that a name, or with `byNumber` its number, means for a stage: only earlier ones. */
export function findStage(
  stages: readonly Stage[],
  reference: string,
  before: number,
  { byNumber }: { readonly byNumber: boolean },
): number | undefined {
  const name = reference.toLowerCase();
  const found = stages.slice(0, before).findIndex(({ from }) => from.alias === name);
  if (found >= 0) return found;
  if (!byNumber || !/^[+-]?\d+$/.test(reference)) return undefined;
  const index = Number(reference);
  if (index === before) throw new WherryError('invalid', 'refers to current build stage');
  if (index < 0 || index > before) throw new WherryError('invalid', 'index out of bounds');
  return index;
}

function targetOf(stages: readonly Stage[], wanted: string | undefined): number {
  if (wanted === undefined || wanted === '') return stages.length - 1;
  const name = wanted.toLowerCase();
  const byName = stages.findIndex(({ from }) => from.alias === name);
  const index = byName < 0 && /^\d+$/.test(wanted) ? Number(wanted) : byName;
  if (index >= 0 && index < stages.length) return index;
  throw new WherryError('invalid', `target stage ${JSON.stringify(wanted)} could not be found`);
}

/** `--label`: as if they stood at the stage's end, a step each. */
function labelled(stage: Stage, labels: Readonly<Record<string, string>>): Stage {
  const added = Object.keys(labels)
    .sort()
    .map((key) => ({
      name: 'LABEL' as const,
      line: 0,
      code: `LABEL ${key}=${labels[key]}`,
      pairs: [{ key, value: labels[key]! }],
      literal: true,
    }));
  return { ...stage, instructions: [...stage.instructions, ...added] };
}

/** An earlier stage has the same name: said where the stage is begun. */
export function isNamedTwice(stages: readonly Stage[], index: number): boolean {
  const name = stages[index]!.from.alias;
  return name !== undefined && stages.slice(0, index).some(({ from }) => from.alias === name);
}

function dependenciesOf(
  stages: readonly Stage[],
  index: number,
  escapeToken: string,
  args: BuildArguments,
): readonly number[] {
  const { from, instructions } = stages[index]!;
  const found: (number | undefined)[] = [];
  const find = (reference: string | undefined, byNumber: boolean): void => {
    if (reference === undefined) return;
    try {
      found.push(findStage(stages, reference, index, { byNumber }));
    } catch {
      // Said where the step is done.
    }
  };
  try {
    find(expandWord(from.base, { escapeToken, variable: (name) => args.global(name) }), false);
  } catch {
    // Said where the stage is begun.
  }
  for (const instruction of instructions) {
    if (instruction.name === 'COPY') find(instruction.from, true);
    if (instruction.name === 'RUN') for (const mount of instruction.mounts) find(mount.get('from'), true);
  }
  return found.filter((dependency) => dependency !== undefined);
}
