import type { StepRecord } from './step-cache.ts';

/** The step that was not found. */
export interface MissedStep {
  readonly parent: string;
  readonly keyword: string;
  readonly words: readonly string[];
  readonly files?: Readonly<Record<string, string>> | undefined;
  /** It depends on more than its words and files: content that is mounted. */
  readonly hasMounts?: boolean | undefined;
}

const mostNames = 5;

/** Says why a step did not come from the cache, by the steps that it might have been. `records`: youngest first. */
export function explainMiss(step: MissedStep, records: readonly StepRecord[]): string {
  const alike = records.filter(({ keyword }) => keyword === step.keyword);
  const siblings = alike.filter(({ parent }) => parent === step.parent);
  const shape = shapeOf(step.words);
  const nearest = siblings.find(({ words }) => shapeOf(words) === shape) ?? siblings[0];
  const elsewhere = alike.find(({ parent, words }) => parent !== step.parent && shapeOf(words) === shape);
  // What was done at the same place tells most, unless it is another instruction and this one was done elsewhere.
  if (nearest !== undefined && (shapeOf(nearest.words) === shape || elsewhere === undefined)) {
    return changed(nearest, step);
  }
  if (elsewhere === undefined) return 'no image with this step';
  const [before, now] = [elsewhere.parent, step.parent].map((id) => (id === '' ? 'scratch' : shortId(id)));
  return `parent changed: ${before} before, now ${now}`;
}

function changed(before: StepRecord, step: MissedStep): string {
  if (before.files && step.files) {
    const names = fileChanges(before.files, step.files);
    if (names.length > 0) return `${step.keyword}: ${names.join(', ')}`;
  }
  const [argsBefore, wordsBefore] = splitArguments(before.words);
  const [args, words] = splitArguments(step.words);
  if (!equal(wordsBefore, words)) {
    return sameContent(wordsBefore, words)
      ? `${step.keyword}: content changed`
      : `no image with this step; the last ${step.keyword} here was: ${written(wordsBefore)}`;
  }
  const names = differences(argsBefore, args);
  if (names.length > 0) return `build argument${names.length === 1 ? '' : 's'} ${names.join(', ')} changed`;
  return step.hasMounts ? 'content of its mounts changed' : 'platform or author changed';
}

/** The command, without the shell before it. */
function written(words: readonly string[]): string {
  const text = words.join(' ');
  const [, own] = /#\(nop\) +(?:[A-Z]+ )?([\s\S]*)/.exec(text) ?? [];
  return (own ?? text.replace(/^\/bin\/sh -c /, '')).trim();
}

/** What an instruction says, but for the checksums of its files and the build arguments that it sees. */
function shapeOf(words: readonly string[]): string {
  return withoutChecksums(splitArguments(words)[1]);
}

function sameContent(before: readonly string[], now: readonly string[]): boolean {
  return withoutChecksums(before) === withoutChecksums(now);
}

function withoutChecksums(words: readonly string[]): string {
  return words.join('\0').replace(/\b(?:file|dir|multi):[0-9a-f]{64}\b|\b[0-9a-f]{64}\b/g, 'CHECKSUM');
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
      if (before[name] === undefined) return `${name} added`;
      return now[name] === undefined ? `${name} removed` : `${name} changed`;
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
