import { isObject } from '../patch/merge-patch.ts';

/**
 * A set of field paths as a tree (structured-merge-diff's `fieldpath.Set`). The keys are path elements
 * as `fieldsV1` writes them: `f:name`, `k:{"name":"x"}`, `v:"x"`, `i:0`.
 */
export interface FieldSet {
  /** Whether the path that leads here is itself in the set. */
  member: boolean;
  readonly children: Map<string, FieldSet>;
}

/** A set without paths. */
export function emptySet(): FieldSet {
  return { member: false, children: new Map() };
}

/** Whether no path is in the set. */
export function isEmptySet(set: FieldSet): boolean {
  if (set.member) return false;
  for (const child of set.children.values()) if (!isEmptySet(child)) return false;
  return true;
}

/** The child for a path element, made when there is none. */
export function childSet(set: FieldSet, element: string): FieldSet {
  let child = set.children.get(element);
  if (!child) {
    child = emptySet();
    set.children.set(element, child);
  }
  return child;
}

/** Paths in either set. */
export function unionSet(a: FieldSet, b: FieldSet): FieldSet {
  const result: FieldSet = { member: a.member || b.member, children: new Map(a.children) };
  for (const [element, child] of b.children) {
    const own = result.children.get(element);
    result.children.set(element, own ? unionSet(own, child) : child);
  }
  return result;
}

/** Paths in `a` that are not in `b`. */
export function differenceSet(a: FieldSet, b: FieldSet): FieldSet {
  const result: FieldSet = { member: a.member && !b.member, children: new Map() };
  for (const [element, child] of a.children) {
    const other = b.children.get(element);
    const left = other ? differenceSet(child, other) : child;
    if (!isEmptySet(left)) result.children.set(element, left);
  }
  return result;
}

/** Paths in both sets. */
export function intersectionSet(a: FieldSet, b: FieldSet): FieldSet {
  const result: FieldSet = { member: a.member && b.member, children: new Map() };
  for (const [element, child] of a.children) {
    const other = b.children.get(element);
    const both = other && intersectionSet(child, other);
    if (both && !isEmptySet(both)) result.children.set(element, both);
  }
  return result;
}

/** Paths of `a` without those of `b` and all that lies below them. */
export function withoutSubtrees(a: FieldSet, b: FieldSet): FieldSet {
  if (b.member) return emptySet();
  const result: FieldSet = { member: a.member, children: new Map() };
  for (const [element, child] of a.children) {
    const other = b.children.get(element);
    const left = other ? withoutSubtrees(child, other) : child;
    if (!isEmptySet(left)) result.children.set(element, left);
  }
  return result;
}

/** Whether two sets hold the same paths. */
export function sameSet(a: FieldSet, b: FieldSet): boolean {
  return isEmptySet(differenceSet(a, b)) && isEmptySet(differenceSet(b, a));
}

function elementRank(element: string): number {
  return 'fkvi'.indexOf(element[0]!);
}

/** The set as `fieldsV1` JSON. */
export function toFieldsV1(set: FieldSet): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  const elements = [...set.children.keys()].sort((a, b) => elementRank(a) - elementRank(b) || (a < b ? -1 : 1));
  for (const element of elements) {
    const child = set.children.get(element)!;
    if (isEmptySet(child)) continue;
    const inner = toFieldsV1(child);
    result[element] = child.member && Object.keys(inner).length > 0 ? { '.': {}, ...inner } : inner;
  }
  return result;
}

const deepest = 200;

/** Reads `fieldsV1` JSON; what is malformed is left out, as it decides nothing but ownership. */
export function fromFieldsV1(fields: unknown, depth = 0): FieldSet {
  const set = emptySet();
  if (!isObject(fields) || depth > deepest) return set;
  const entries = Object.entries(fields);
  if (depth > 0 && entries.length === 0) set.member = true;
  for (const [element, child] of entries) {
    if (element === '.') set.member = true;
    else if (/^[fkvi]:/.test(element)) set.children.set(element, fromFieldsV1(child, depth + 1));
  }
  return set;
}

function elementText(element: string): string {
  const body = element.slice(2);
  switch (element[0]) {
    case 'k': {
      const keys = Object.entries(JSON.parse(body) as Record<string, unknown>);
      return `[${keys.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(',')}]`;
    }
    case 'v':
      return `[=${body}]`;
    case 'i':
      return `[${body}]`;
    default:
      return `.${body}`;
  }
}

/** Every path in the set as text: `.spec.containers[name="x"].image`. */
export function setPaths(set: FieldSet, prefix = ''): string[] {
  const found = set.member ? [prefix] : [];
  for (const [element, child] of set.children) found.push(...setPaths(child, prefix + elementText(element)));
  return found;
}
