import type { V1LabelSelector } from '../../../generated/types.ts';
import { type FieldError, field } from '../../field-error.ts';
import { validateLabels } from './metadata.ts';
import { labelValueProblems, qualifiedNameProblems } from './names.ts';

/** Checks the form of a label selector at `path`. */
export function validateLabelSelector(selector: V1LabelSelector | undefined, path: string): FieldError[] {
  if (!selector) return [];
  const errors = validateLabels(selector.matchLabels, `${path}.matchLabels`);
  (selector.matchExpressions ?? []).forEach((expression, index) => {
    const at = `${path}.matchExpressions[${index}]`;
    const values = expression.values ?? [];
    if (expression.operator === 'In' || expression.operator === 'NotIn') {
      if (values.length === 0) {
        errors.push(field.required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
      }
    } else if (expression.operator === 'Exists' || expression.operator === 'DoesNotExist') {
      if (values.length > 0) {
        errors.push(
          field.forbidden(`${at}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
        );
      }
    } else {
      errors.push(field.invalid(`${at}.operator`, expression.operator, 'not a valid selector operator'));
    }
    for (const p of qualifiedNameProblems(expression.key)) errors.push(field.invalid(`${at}.key`, expression.key, p));
    values.forEach((value, i) => {
      for (const p of labelValueProblems(value)) errors.push(field.invalid(`${at}.values[${i}]`, value, p));
    });
  });
  return errors;
}

/** Whether a selector selects everything because it says nothing. */
export function isEmptySelector(selector: V1LabelSelector | undefined): boolean {
  return (
    selector !== undefined &&
    Object.keys(selector.matchLabels ?? {}).length === 0 &&
    (selector.matchExpressions ?? []).length === 0
  );
}

/** Whether labels satisfy a selector; `undefined` selects nothing. */
export function selectorMatches(
  selector: V1LabelSelector | undefined,
  labels: Readonly<Record<string, string>> | undefined,
): boolean {
  if (!selector) return false;
  const has = labels ?? {};
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) {
    if (has[key] !== value) return false;
  }
  return (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
    const value = has[key];
    if (operator === 'In') return value !== undefined && values.includes(value);
    if (operator === 'NotIn') return value === undefined || !values.includes(value);
    return operator === 'Exists' ? value !== undefined : value === undefined;
  });
}

/** `a=b,c in (d,e)` as upstream prints a selector; `<none>` for one that says nothing. */
export function selectorText(selector: V1LabelSelector | undefined): string {
  if (!selector || isEmptySelector(selector)) return '<none>';
  const parts: [string, string][] = Object.entries(selector.matchLabels ?? {}).map(([k, v]) => [k, `${k}=${v}`]);
  for (const { key, operator, values = [] } of selector.matchExpressions ?? []) {
    const list = `(${[...values].sort().join(',')})`;
    if (operator === 'In') parts.push([key, `${key} in ${list}`]);
    else if (operator === 'NotIn') parts.push([key, `${key} notin ${list}`]);
    else parts.push([key, operator === 'Exists' ? key : `!${key}`]);
  }
  return parts
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([, text]) => text)
    .join(',');
}

/** `a=b,c=d` in the order of the keys; `<none>` when empty. */
export function labelsText(labels: Readonly<Record<string, string>> | undefined): string {
  const keys = Object.keys(labels ?? {}).sort();
  return keys.length === 0 ? '<none>' : keys.map((k) => `${k}=${labels![k]}`).join(',');
}
