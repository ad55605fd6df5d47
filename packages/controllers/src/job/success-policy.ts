import type { V1Job } from '@wherry/api';
import { parseIndexes } from './indexes.ts';

/** The first rule of the job's `successPolicy` that its completed indexes meet, in words (KEP-3998). Pure. */
export function successPolicyMessage({ spec }: V1Job, completed: ReadonlySet<number>): string | undefined {
  for (const [index, { succeededIndexes, succeededCount }] of (spec?.successPolicy?.rules ?? []).entries()) {
    const counted = succeededIndexes === undefined ? completed : parseIndexes(succeededIndexes, spec?.completions ?? 0);
    const met = [...counted].filter((one) => completed.has(one)).length;
    if (met >= (succeededCount ?? counted.size)) return `Matched rules at index ${index}`;
  }
  return undefined;
}
