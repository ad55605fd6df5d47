import type { StepRecord } from './step-cache.ts';

/** The step that was not found. */
export interface MissedStep {
  readonly parent: string;
  readonly keyword: string;
  readonly words: readonly string[];
  readonly files?: Readonly<Record<string, string>> | undefined;
}

const mostNames = 5;

/** Says why a step did not come from the cache, by the steps that it might have been. `records`: youngest first. */
export function explainMiss(step: MissedStep, records: readonly StepRecord[]): string {
  const alike = records.filter(({ keyword }) => keyword === step.keyword);
  const siblings = alike.filter(({ parent }) => parent === step.parent);
  const same = alike.find(({ words, parent }) => parent !== step.parent && equal(words, step.words));
  const sibling = siblings[0];
  if (sibling !== undefined) {
    const change = changed(sibling, step);
    if (change !== undefined) return change;
  }
  if (same !== undefined) {
    const [before, now] = [same.parent, step.parent].map((id) => (id === '' ? 'scratch' : shortId(id)));
    return `it was built on another image before: ${before}, now ${now}`;
  }
  return 'it was not built before';
}

function changed(before: StepRecord, step: MissedStep): string | undefined {
  if (before.files && step.files) {
    const names = fileChanges(before.files, step.files);
    if (names.length > 0) return `files changed: ${names.join(', ')}`;
  }
  const [argsBefore, wordsBefore] = splitArguments(before.words);
  const [args, words] = splitArguments(step.words);
  if (equal(wordsBefore, words)) {
    const names = differences(argsBefore, args);
    return names.length > 0 ? `build arguments changed: ${names.join(', ')}` : undefined;
  }
  return `the instruction changed, it was: ${wordsBefore.join(' ')}`;
}

/** `|2 A=1 B=2 /bin/sh -c make` holds the build arguments that a RUN sees. */
function splitArguments(words: readonly string[]): readonly [readonly string[], readonly string[]] {
  const count = /^\|(\d+)$/.exec(words[0] ?? '')?.[1];
  if (count === undefined) return [[], words];
  return [words.slice(1, 1 + Number(count)), words.slice(1 + Number(count))];
}

function differences(before: readonly string[], now: readonly string[]): readonly string[] {
  const odd = [...before.filter((entry) => !now.includes(entry)), ...now.filter((entry) => !before.includes(entry))];
  return [...new Set(odd.map((entry) => entry.split('=', 1)[0]!))];
}

function fileChanges(
  before: Readonly<Record<string, string>>,
  now: Readonly<Record<string, string>>,
): readonly string[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(now)])].sort();
  const found = names
    .filter((name) => before[name] !== now[name])
    .map((name) => {
      if (before[name] === undefined) return `${name} (new)`;
      return now[name] === undefined ? `${name} (gone)` : name;
    });
  if (found.length <= mostNames) return found;
  return [...found.slice(0, mostNames), `${found.length - mostNames} more`];
}

function equal(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((word, index) => word === right[index]);
}

function shortId(id: string): string {
  return id.replace(/^sha256:/, '').slice(0, 12);
}
