import type { V1PolicyRule } from '@wherry/api';

/** The parts of `wanted` that `held` does not allow, each with one verb on one resource or path. */
export function uncovered(held: readonly V1PolicyRule[], wanted: readonly V1PolicyRule[]): V1PolicyRule[] {
  const missing: V1PolicyRule[] = [];
  for (const rule of wanted) {
    // A rule that some held one covers as a whole needs no taking apart.
    if (held.some((own) => coversResources(own, rule) && coversPaths(own, rule))) continue;
    for (const part of parts(rule)) {
      const covers = part.nonResourceURLs ? coversPaths : coversResources;
      if (!held.some((own) => covers(own, part))) missing.push(part);
    }
  }
  return missing;
}

function* parts(rule: V1PolicyRule): Generator<V1PolicyRule> {
  for (const verb of rule.verbs) {
    for (const apiGroup of rule.apiGroups ?? []) {
      for (const resource of rule.resources ?? []) {
        const part = { verbs: [verb], apiGroups: [apiGroup], resources: [resource] };
        if (!rule.resourceNames?.length) yield part;
        else for (const name of rule.resourceNames) yield { ...part, resourceNames: [name] };
      }
    }
    for (const url of rule.nonResourceURLs ?? []) yield { verbs: [verb], nonResourceURLs: [url] };
  }
}

function coversResources(own: V1PolicyRule, wanted: V1PolicyRule): boolean {
  if (!wanted.resources?.length) return true;
  const names = wanted.resourceNames ?? [];
  const ownNames = own.resourceNames ?? [];
  return (
    hasAll(own.verbs, wanted.verbs) &&
    hasAll(own.apiGroups, wanted.apiGroups) &&
    wanted.resources.every((resource) => coversResource(own.resources ?? [], resource)) &&
    (ownNames.length === 0 || (names.length > 0 && names.every((name) => ownNames.includes(name))))
  );
}

function coversResource(own: readonly string[], wanted: string): boolean {
  if (own.includes('*') || own.includes(wanted)) return true;
  const slash = wanted.indexOf('/');
  return slash >= 0 && own.includes(`*${wanted.slice(slash)}`);
}

function coversPaths(own: V1PolicyRule, wanted: V1PolicyRule): boolean {
  if (!wanted.nonResourceURLs?.length) return true;
  const covered = (url: string): boolean =>
    (own.nonResourceURLs ?? []).some(
      (held) => held === url || held === '*' || (held.endsWith('*') && url.startsWith(held.slice(0, -1))),
    );
  return hasAll(own.verbs, wanted.verbs) && wanted.nonResourceURLs.every(covered);
}

function hasAll(own: readonly string[] | undefined, wanted: readonly string[] | undefined): boolean {
  return own?.includes('*') === true || (wanted ?? []).every((item) => own?.includes(item) === true);
}

/** Rules as upstream's refusals show them, those that differ in the verb alone joined, in order. */
export function compactRules(rules: readonly V1PolicyRule[]): string[] {
  const joined = new Map<string, V1PolicyRule>();
  for (const { verbs, ...rest } of rules) {
    const key = JSON.stringify(rest);
    const known = joined.get(key);
    joined.set(key, { ...rest, verbs: [...new Set([...(known?.verbs ?? []), ...verbs])] });
  }
  return [...joined.values()].map(shown).sort();
}

function shown(rule: V1PolicyRule): string {
  const list = (items: readonly string[]): string => `[${items.map((item) => JSON.stringify(item)).join(' ')}]`;
  const fields: [string, readonly string[] | undefined][] = [
    ['APIGroups', rule.apiGroups],
    ['Resources', rule.resources],
    ['ResourceNames', rule.resourceNames],
    ['NonResourceURLs', rule.nonResourceURLs],
    ['Verbs', rule.verbs],
  ];
  const told = fields.filter(([, items]) => items?.length).map(([name, items]) => `${name}:${list(items!)}`);
  return `{${told.join(', ')}}`;
}
