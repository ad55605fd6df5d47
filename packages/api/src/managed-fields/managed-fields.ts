import { WherryError } from '@wherry/base';
import type { V1ManagedFieldsEntry } from '../../generated/types.ts';
import type { ApiObject } from '../kind.ts';
import { statusError } from '../status.ts';
import {
  differenceSet,
  emptySet,
  type FieldSet,
  fromFieldsV1,
  intersectionSet,
  isEmptySet,
  sameSet,
  setPaths,
  toFieldsV1,
  unionSet,
  withoutSubtrees,
} from './field-set.ts';
import { compareTyped, mergeTyped, pruneTyped, rootType, setOf } from './typed-value.ts';

/** Who changes an object, as `managedFields` records it. */
export interface FieldManager {
  readonly name: string;
  readonly operation: 'Apply' | 'Update';
  /** `GROUP/VERSION` that the request was made in. */
  readonly apiVersion: string;
  /** `''` for the object itself, otherwise `status`, `scale` … */
  readonly subresource: string;
}

interface Managed {
  readonly manager: FieldManager;
  readonly time: string | undefined;
  readonly set: FieldSet;
  /** The entry as it was read, while nothing of it changed. */
  readonly source?: V1ManagedFieldsEntry | undefined;
}

/** More entries of updates than this are merged into one, oldest first (as upstream). */
const mostUpdaters = 10;
const ancient = 'ancient-changes';

let untracked: FieldSet | undefined;

/** Fields that nobody owns: identity and what the server alone writes. */
function untrackedFields(): FieldSet {
  const leaf = {};
  untracked ??= fromFieldsV1({
    'f:apiVersion': leaf,
    'f:kind': leaf,
    'f:metadata': {
      '.': leaf,
      'f:creationTimestamp': leaf,
      'f:deletionGracePeriodSeconds': leaf,
      'f:deletionTimestamp': leaf,
      'f:generation': leaf,
      'f:managedFields': leaf,
      'f:name': leaf,
      'f:namespace': leaf,
      'f:resourceVersion': leaf,
      'f:selfLink': leaf,
      'f:uid': leaf,
    },
  });
  return untracked;
}

/** Without what nobody owns; the node of `metadata` stays as the parent of the rest. */
function tracked(set: FieldSet): FieldSet {
  const meta = set.children.get('f:metadata');
  const children = new Map(set.children);
  const without = untrackedFields();
  children.delete('f:apiVersion');
  children.delete('f:kind');
  if (meta) {
    const left = withoutSubtrees({ ...meta, member: false }, { ...without.children.get('f:metadata')!, member: false });
    if (isEmptySet(left)) children.delete('f:metadata');
    else children.set('f:metadata', left);
  }
  return { member: false, children };
}

function readManaged(object: ApiObject | undefined): Managed[] {
  return (object?.metadata?.managedFields ?? []).map((entry) => ({
    manager: {
      name: entry.manager ?? '',
      operation: entry.operation === 'Apply' ? 'Apply' : 'Update',
      apiVersion: entry.apiVersion ?? '',
      subresource: entry.subresource ?? '',
    },
    time: entry.time,
    set: fromFieldsV1(entry.fieldsV1),
    source: entry,
  }));
}

function sameManager(a: FieldManager, b: FieldManager): boolean {
  return (
    a.name === b.name && a.operation === b.operation && a.apiVersion === b.apiVersion && a.subresource === b.subresource
  );
}

function written({ manager, time, set, source }: Managed): V1ManagedFieldsEntry {
  if (source) return source;
  return {
    manager: manager.name,
    operation: manager.operation,
    apiVersion: manager.apiVersion,
    ...(time === undefined ? {} : { time }),
    fieldsType: 'FieldsV1',
    fieldsV1: toFieldsV1(set),
    ...(manager.subresource === '' ? {} : { subresource: manager.subresource }),
  };
}

function byTime(a: Managed, b: Managed): number {
  const left = a.time ?? '';
  const right = b.time ?? '';
  if (left !== right) return left < right ? -1 : 1;
  return a.manager.name < b.manager.name ? -1 : a.manager.name > b.manager.name ? 1 : 0;
}

/** Keeps the number of updaters bounded: the oldest of one API version become one entry. */
function bounded(all: readonly Managed[]): readonly Managed[] {
  const updaters = all.filter((m) => m.manager.operation === 'Update' && m.manager.subresource === '').sort(byTime);
  const surplus = updaters.length - mostUpdaters;
  if (surplus <= 0) return all;
  const merged = new Map<string, Managed>();
  const old = new Set(updaters.slice(0, surplus + 1));
  for (const one of old) {
    const { apiVersion } = one.manager;
    const known = merged.get(apiVersion);
    const manager: FieldManager = { name: ancient, operation: 'Update', apiVersion, subresource: '' };
    merged.set(apiVersion, { manager, time: one.time, set: known ? unionSet(known.set, one.set) : one.set });
  }
  return [...all.filter((m) => !old.has(m)), ...merged.values()];
}

/** The object with these managers; those that own nothing are left out. */
function withManaged(object: ApiObject, managed: readonly Managed[]): ApiObject {
  const kept = bounded(managed.filter((m) => !isEmptySet(m.set)));
  const appliers = kept.filter((m) => m.manager.operation === 'Apply').sort(byTime);
  const updaters = kept.filter((m) => m.manager.operation === 'Update').sort(byTime);
  const { managedFields: _, ...metadata } = object.metadata ?? {};
  const entries = [...appliers, ...updaters].map(written);
  return { ...object, metadata: entries.length > 0 ? { ...metadata, managedFields: entries } : metadata };
}

/**
 * The entries of `managedFields` after a plain write (create, update, patch) turned `live` into
 * `changed`: the manager owns what it set, nobody owns what is gone. `time` is RFC 3339; an entry that
 * owns the same as before keeps its time. The cost follows the parts that the two do not share.
 */
export function updateManagedFields(
  live: ApiObject | undefined,
  changed: ApiObject,
  schemaName: string,
  manager: FieldManager,
  time: string,
): ApiObject {
  const before = readManaged(live);
  const { set, removed } = compareTyped(live ?? {}, changed, rootType(schemaName));
  const taken = tracked(set);
  const gone = tracked(removed);
  if (isEmptySet(taken) && isEmptySet(gone)) return withManaged(changed, before);
  let own: FieldSet | undefined;
  const after: Managed[] = [];
  for (const one of before) {
    if (sameManager(one.manager, manager)) {
      own = one.set;
      const now = differenceSet(unionSet(one.set, taken), gone);
      after.push(sameSet(now, one.set) ? one : { manager: one.manager, time, set: now });
      continue;
    }
    const left = differenceSet(differenceSet(one.set, taken), gone);
    after.push(sameSet(left, one.set) ? one : { ...one, set: left, source: undefined });
  }
  if (!own && !isEmptySet(taken)) after.push({ manager, time, set: taken });
  return withManaged(changed, after);
}

/** One manager's claim on a field that an apply wants to change. */
export interface ApplyConflict {
  readonly manager: FieldManager;
  /** `.spec.replicas` */
  readonly path: string;
}

/** What an apply gives: the merged object with its managers, or who objects. */
export type Applied =
  | { readonly ok: true; readonly object: ApiObject }
  | { readonly ok: false; readonly conflicts: readonly ApplyConflict[] };

function conflictsOf(others: readonly Managed[], changed: FieldSet): ApplyConflict[] {
  return others.flatMap(({ manager, set }) =>
    setPaths(intersectionSet(set, changed)).map((path) => ({ manager, path })),
  );
}

/**
 * Server-side apply (KEP-555): merges a configuration into the live object, takes away what the manager
 * applied before and no longer does (unless others own it), and records ownership. With `force`,
 * conflicting fields are taken over. The configuration is the body as it was sent, not decoded: what
 * decoding fills in would be owned, too. Decode the result.
 */
export function applyConfiguration(
  live: ApiObject | undefined,
  config: ApiObject,
  schemaName: string,
  manager: FieldManager,
  options: { readonly force: boolean; readonly time: string },
): Applied {
  if (manager.operation !== 'Apply') throw new WherryError('internal', 'an apply needs a manager that applies');
  const root = rootType(schemaName);
  const before = readManaged(live);
  const last = before.find((m) => sameManager(m.manager, manager));
  const wanted = tracked(setOf(config, root));
  const merged = live ? mergeTyped(live, config, root) : config;
  const changed = tracked(compareTyped(live ?? {}, merged, root).set);
  let others = before.filter((m) => m !== last);
  const conflicts = conflictsOf(others, changed);
  if (conflicts.length > 0) {
    if (!options.force) return { ok: false, conflicts };
    others = others.map((m) => ({ ...m, set: differenceSet(m.set, changed), source: undefined }));
  }
  const owned = others.reduce((all, m) => unionSet(all, m.set), wanted);
  const pruned = pruneTyped(merged, last?.set ?? emptySet(), owned, root) as ApiObject;
  const same = last !== undefined && sameSet(last.set, wanted);
  const own: Managed = same ? last : { manager, time: options.time, set: wanted };
  return { ok: true, object: withManaged(pruned, [...others, own]) };
}

function managerText({ name, operation, subresource, apiVersion }: FieldManager): string {
  const quoted = JSON.stringify(name);
  if (operation === 'Apply') return quoted;
  return subresource === ''
    ? `${quoted} using ${apiVersion}`
    : `${quoted} with subresource ${JSON.stringify(subresource)} using ${apiVersion}`;
}

/** The 409 for conflicts, in upstream's words and with one cause a field. */
export function applyConflictError(conflicts: readonly ApplyConflict[]): WherryError {
  const causes = conflicts.map(({ manager, path }) => ({
    reason: 'FieldManagerConflict',
    message: `conflict with ${managerText(manager)}`,
    field: path,
  }));
  const [first] = conflicts;
  const single = conflicts.length === 1 && first;
  const byManager = new Map<string, string[]>();
  for (const { manager, path } of conflicts) {
    const who = managerText(manager);
    byManager.set(who, [...(byManager.get(who) ?? []), `- ${path}`]);
  }
  const text = single
    ? `Apply failed with 1 conflict: conflict with ${managerText(single.manager)}: ${single.path}`
    : `Apply failed with ${conflicts.length} conflicts: ${[...byManager]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([who, list]) => `conflicts with ${who}:\n${list.join('\n')}`)
        .join('\n')}`;
  return statusError('conflict', text, { details: { causes } });
}
