import { badRequestError, type FieldError, field, invalidError, notFoundError, statusError } from '@wherry/api';
import { codeOf } from '@wherry/base';
import type { StoredObject } from '../registry/stored-object.ts';
import { decodeContinue, encodeContinue } from './continue-token.ts';
import type { Core } from './core.ts';
import { keyOf, type Target } from './request.ts';
import type { Selection } from './selection.ts';

/** How long a list waits for a version that this server has not seen yet. */
const versionPatience = 3_000;

export interface ListRequest {
  readonly selection: Selection;
  readonly limit: number; // 0: no limit
  readonly continue: string; // '' for the first page
  readonly resourceVersion: string;
  readonly resourceVersionMatch: string;
}

export interface Listing {
  readonly revision: number;
  readonly items: readonly StoredObject[];
  readonly continue: string | undefined;
  readonly remaining: number | undefined;
  /** Identifies an unselected list of the current state, whose encoding can be kept. */
  readonly range: string | undefined;
}

/** The stored object that a target names. Error 404. */
export function getObject(core: Core, target: Target): StoredObject {
  const storage = core.catalog.storageOf(target.kind);
  const found = core.registry.cacheOf(storage).get(keyOf(target, target.name));
  if (found === undefined) throw notFoundError(target.kind, target.name);
  return found;
}

/** Lists as a collection GET does (KEP-3157 and the API concepts' table of `resourceVersion` parameters). */
export async function listObjects(core: Core, target: Target, request: ListRequest): Promise<Listing> {
  const revision = checkVersion(request);
  if (request.continue !== '') return nextPage(core, target, request);
  if (revision > 0 && request.resourceVersionMatch === 'Exact') return exact(core, target, request, revision);
  if (revision > core.registry.revision) await waitForVersion(core, revision);
  const { selection } = request;
  const cache = core.registry.cacheOf(core.catalog.storageOf(target.kind));
  const at = core.registry.revision;
  if (selection.name !== undefined && (target.namespace !== '' || !target.kind.namespaced)) {
    const one = cache.get(keyOf(target, selection.name));
    const items = one !== undefined && selection.matches!(one) ? [one] : [];
    return { revision: at, items, continue: undefined, remaining: undefined, range: undefined };
  }
  // As upstream, a list that any state satisfies comes whole.
  const limit = request.resourceVersion === '0' ? 0 : request.limit;
  const page = cut(cache.range(target.namespace), selection, limit);
  const whole = selection.matches === undefined && page.next === undefined;
  return { ...finish(page, at), range: whole ? target.namespace : undefined };
}

interface Page {
  readonly items: StoredObject[];
  readonly next: string | undefined;
  readonly remaining: number | undefined;
}

function cut(all: readonly StoredObject[], selection: Selection, limit: number): Page {
  const { matches } = selection;
  if (matches === undefined) {
    if (limit <= 0 || all.length <= limit)
      return { items: all as StoredObject[], next: undefined, remaining: undefined };
    return { items: all.slice(0, limit), next: all[limit]!.key, remaining: all.length - limit };
  }
  if (limit <= 0) return { items: all.filter(matches), next: undefined, remaining: undefined };
  const items: StoredObject[] = [];
  for (const object of all) {
    if (items.length === limit) return { items, next: object.key, remaining: undefined };
    if (matches(object)) items.push(object);
  }
  return { items, next: undefined, remaining: undefined };
}

function finish(page: Page, revision: number): Listing {
  return {
    revision,
    items: page.items,
    continue: page.next === undefined ? undefined : encodeContinue({ revision, start: page.next }),
    remaining: page.remaining,
    range: undefined,
  };
}

async function nextPage(core: Core, target: Target, request: ListRequest): Promise<Listing> {
  const token = decodeContinue(request.continue);
  if (target.namespace !== '' && !token.start.startsWith(`${target.namespace}/`)) {
    throw badRequestError('continue key is not valid: it belongs to another list');
  }
  const storage = core.catalog.storageOf(target.kind);
  const cache = core.registry.cacheOf(storage);
  if (token.revision < 0) {
    return finish(
      cut(cache.range(target.namespace, token.start), request.selection, request.limit),
      core.registry.revision,
    );
  }
  if (cache.lastChange <= token.revision) {
    return finish(cut(cache.range(target.namespace, token.start), request.selection, request.limit), token.revision);
  }
  return pageAt(core, target, request, token.revision, token.start);
}

function exact(core: Core, target: Target, request: ListRequest, revision: number): Promise<Listing> | Listing {
  const cache = core.registry.cacheOf(core.catalog.storageOf(target.kind));
  if (cache.lastChange <= revision && revision <= core.registry.revision) {
    return finish(cut(cache.range(target.namespace), request.selection, request.limit), revision);
  }
  if (revision > core.registry.revision)
    return waitForVersion(core, revision).then(() => exact(core, target, request, revision));
  return pageAt(core, target, request, revision, '');
}

/** Reads a page out of the store's history. */
async function pageAt(
  core: Core,
  target: Target,
  request: ListRequest,
  revision: number,
  start: string,
): Promise<Listing> {
  const storage = core.catalog.storageOf(target.kind);
  try {
    const { items } = await core.registry.listAt(storage, target.namespace, { revision, start });
    return finish(cut(items, request.selection, request.limit), revision);
  } catch (error) {
    if (codeOf(error) !== 'gone') throw error;
    if (start === '') throw statusError('gone', 'The resourceVersion for the provided list is too old.');
    throw statusError(
      'gone',
      'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.',
      { metadata: { continue: encodeContinue({ revision: -1, start }) } },
    );
  }
}

function checkVersion(request: ListRequest): number {
  const errors: FieldError[] = [];
  const { resourceVersion, resourceVersionMatch: match } = request;
  if (match !== '') {
    if (resourceVersion === '') {
      errors.push(
        field.forbidden('resourceVersionMatch', 'resourceVersionMatch is forbidden unless resourceVersion is provided'),
      );
    }
    if (request.continue !== '') {
      errors.push(
        field.forbidden('resourceVersionMatch', 'resourceVersionMatch is forbidden when continue is provided'),
      );
    }
    if (match !== 'Exact' && match !== 'NotOlderThan') {
      errors.push(field.notSupported('resourceVersionMatch', match, ['Exact', 'NotOlderThan']));
    }
    if (match === 'Exact' && resourceVersion === '0') {
      errors.push(
        field.forbidden('resourceVersionMatch', 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'),
      );
    }
    if (errors.length > 0) throw invalidError({ group: 'meta.k8s.io', kind: 'ListOptions' }, '', errors);
  }
  if (request.continue !== '' && resourceVersion !== '' && resourceVersion !== '0') {
    throw badRequestError('specifying resource version is not allowed when using continue');
  }
  return parseVersion(resourceVersion);
}

/** A `resourceVersion` parameter; '' is 0. */
export function parseVersion(text: string): number {
  if (text === '') return 0;
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) {
    throw invalidError({ group: 'meta.k8s.io', kind: 'ListOptions' }, '', [
      field.invalid('resourceVersion', text, `strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`),
    ]);
  }
  return value;
}

async function waitForVersion(core: Core, revision: number): Promise<void> {
  const seen = core.registry.waitFor(revision);
  if (seen === undefined) return;
  const expired = Symbol('expired');
  let timer: Disposable | undefined;
  const late = new Promise<typeof expired>((resolve) => {
    timer = core.clock.after(versionPatience, () => resolve(expired));
  });
  const first = await Promise.race([seen, late]);
  timer?.[Symbol.dispose]();
  if (first !== expired) return;
  throw statusError('timeout', `Too large resource version: ${revision}, current: ${core.registry.revision}`, {
    reason: 'Timeout',
    code: 504,
    details: {
      causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
      retryAfterSeconds: 1,
    },
  });
}
