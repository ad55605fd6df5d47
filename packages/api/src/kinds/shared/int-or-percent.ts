import { type FieldError, field } from '../../field-error.ts';

const percent = /^[0-9]+%$/;

/** A number, or a percentage's number; `undefined` for text that is neither. */
export function percentOf(value: number | string): number | undefined {
  if (typeof value === 'number') return value;
  return percent.test(value) ? Number.parseInt(value, 10) : undefined;
}

/** A number that is not negative, or a percentage. */
export function validateIntOrPercent(value: number | string, path: string): FieldError[] {
  if (typeof value === 'number') {
    return value < 0 ? [field.invalid(path, value, 'must be greater than or equal to 0')] : [];
  }
  if (percent.test(value)) return [];
  const words = "a valid percent string must be a numeric string followed by an ending '%'";
  return [field.invalid(path, value, `${words} (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')`)];
}
