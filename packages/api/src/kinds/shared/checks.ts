import { type FieldError, field } from '../../field-error.ts';
import { portNameProblems, portNumberProblems, rangeText } from './names.ts';

/** A number that is given and must not be negative. */
export function checkNotNegative(value: number | undefined, path: string): FieldError[] {
  return value !== undefined && value < 0 ? [field.invalid(path, value, 'must be greater than or equal to 0')] : [];
}

/** A number that is given and must lie within both ends. */
export function checkRange(value: number | undefined, low: number, high: number, path: string): FieldError[] {
  return value !== undefined && (value < low || value > high) ? [field.invalid(path, value, rangeText(low, high))] : [];
}

/** One of a closed set of words; an empty value is `Required`. */
export function checkChoice(value: string | undefined, choices: readonly string[], path: string): FieldError[] {
  if (!value) return [field.required(path)];
  return choices.includes(value) ? [] : [field.notSupported(path, value, choices)];
}

/** One of a closed set of words, if given. */
export function checkOptionalChoice(value: string | undefined, choices: readonly string[], path: string): FieldError[] {
  return value === undefined ? [] : checkChoice(value, choices, path);
}

/** Every problem that a rule for names finds, as an `Invalid` at `path`. */
export function checkName(
  value: string | undefined,
  rule: (value: string) => readonly string[],
  path: string,
): FieldError[] {
  return rule(value ?? '').map((problem) => field.invalid(path, value ?? '', problem));
}

/** A name that must be given and follow a rule. */
export function checkRequiredName(
  value: string | undefined,
  rule: (value: string) => readonly string[],
  path: string,
): FieldError[] {
  return value ? checkName(value, rule, path) : [field.required(path)];
}

/** A port by number or by name. */
export function checkPort(value: number | string | undefined, path: string): FieldError[] {
  const problems = typeof value === 'string' ? portNameProblems(value) : portNumberProblems(value ?? 0);
  return problems.map((problem) => field.invalid(path, value ?? 0, problem));
}

/** A path that stays below the folder it is joined to. */
export function checkDescendingPath(value: string, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (value.startsWith('/')) errors.push(field.invalid(path, value, 'must be a relative path'));
  if (value.split('/').includes('..')) errors.push(field.invalid(path, value, "must not contain '..'"));
  return errors;
}

/** A descending path that also keeps out of names that the node itself uses in generated volumes. */
export function checkGeneratedPath(value: string, path: string): FieldError[] {
  const errors = checkDescendingPath(value, path);
  if (value.startsWith('..') && !value.startsWith('../') && value !== '..') {
    errors.push(field.invalid(path, value, "must not start with '..'"));
  }
  return errors;
}

/** `field is immutable` when two values differ. */
export function checkImmutable(same: boolean, value: unknown, path: string): FieldError[] {
  return same ? [] : [field.invalid(path, value, 'field is immutable')];
}
