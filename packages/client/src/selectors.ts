import type { V1LabelSelector } from '@wherry/api';
import { WherryError } from '@wherry/base';

/** Labels as objects carry them. */
export type Labels = Readonly<Record<string, string>>;

/** One condition on labels, as in a LabelSelector or parsed from `a in (b,c)`. */
export interface LabelRequirement {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  readonly values: readonly string[];
}

/** The requirements of a LabelSelector. An empty selector has none and matches everything. */
export function requirementsOf(selector: V1LabelSelector): LabelRequirement[] {
  const requirements: LabelRequirement[] = [];
  for (const [key, value] of Object.entries(selector.matchLabels ?? {}))
    requirements.push({ key, operator: 'In', values: [value] });
  for (const { key, operator, values } of selector.matchExpressions ?? [])
    requirements.push({ key, operator: operator as LabelRequirement['operator'], values: values ?? [] });
  return requirements;
}

/** Whether labels meet every requirement (apimachinery labels.Requirement.Matches: NotIn also holds without the key). */
export function meetsRequirements(labels: Labels | undefined, requirements: readonly LabelRequirement[]): boolean {
  return requirements.every(({ key, operator, values }) => {
    const value = labels && Object.hasOwn(labels, key) ? labels[key] : undefined;
    switch (operator) {
      case 'In':
        return value !== undefined && values.includes(value);
      case 'NotIn':
        return value === undefined || !values.includes(value);
      case 'Exists':
        return value !== undefined;
      case 'DoesNotExist':
        return value === undefined;
      default:
        return false;
    }
  });
}

/** Whether labels match a LabelSelector. No selector matches nothing, an empty one everything. */
export function matchesSelector(labels: Labels | undefined, selector: V1LabelSelector | undefined): boolean {
  return selector !== undefined && meetsRequirements(labels, requirementsOf(selector));
}

/** Whether labels contain all of a plain map, as a Service's selector asks. */
export function matchesLabels(labels: Labels | undefined, wanted: Labels): boolean {
  for (const [key, value] of Object.entries(wanted)) if (labels?.[key] !== value) return false;
  return true;
}

const setBased = /^(\S+)\s+(in|notin)\s*\(([^()]*)\)$/;

/** Parses `a=b,c!=d,e in (f,g),!h,i`. Throws `invalid` on anything else. */
export function parseLabelSelector(text: string): LabelRequirement[] {
  const requirements: LabelRequirement[] = [];
  for (const raw of text.split(/,(?![^(]*\))/)) {
    const part = raw.trim();
    if (part === '') continue;
    const set = setBased.exec(part);
    if (set) {
      const values = set[3]!.split(',').map((value) => value.trim());
      requirements.push({ key: set[1]!, operator: set[2] === 'in' ? 'In' : 'NotIn', values });
      continue;
    }
    const pair = /^([^\s=!]+)\s*(==|=|!=)\s*([^\s=!]*)$/.exec(part);
    if (pair) requirements.push({ key: pair[1]!, operator: pair[2] === '!=' ? 'NotIn' : 'In', values: [pair[3]!] });
    else if (/^!\s*[^\s=!]+$/.test(part))
      requirements.push({ key: part.slice(1).trim(), operator: 'DoesNotExist', values: [] });
    else if (/^[^\s=!()]+$/.test(part)) requirements.push({ key: part, operator: 'Exists', values: [] });
    else throw new WherryError('invalid', `unable to parse label selector ${JSON.stringify(part)}`);
  }
  return requirements;
}

/** The text form of a LabelSelector, for `status.selector` and queries: `a=b,c in (d,e),!f`. */
export function selectorText(selector: V1LabelSelector): string {
  return requirementsOf(selector)
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ key, operator, values }) => {
      if (operator === 'Exists') return key;
      if (operator === 'DoesNotExist') return `!${key}`;
      if (operator === 'In' && values.length === 1) return `${key}=${values[0]}`;
      return `${key} ${operator === 'In' ? 'in' : 'notin'} (${[...values].sort().join(',')})`;
    })
    .join(',');
}
