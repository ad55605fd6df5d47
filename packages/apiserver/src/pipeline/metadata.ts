import { type ApiObject, badRequestError, type V1ObjectMeta } from '@wherry/api';
import type { Random } from '@wherry/base';
import { equalJson } from '../registry/json.ts';
import type { Target } from './request.ts';

/** Generated names: prefix cut to leave room for five letters (apiserver `names.SimpleNameGenerator`). */
const longestPrefix = 58;
const suffixLength = 5;

/** `2026-11-22T12:58:43Z`: times in metadata have a precision of seconds. */
export function timestamp(now: number): string {
  return `${new Date(now).toISOString().slice(0, 19)}Z`;
}

/** Checks a body's namespace against the path's and fills it in. */
export function settleNamespace(object: ApiObject, target: Target): V1ObjectMeta {
  object.metadata ??= {};
  const { metadata } = object;
  if (!target.kind.namespaced) {
    if (metadata.namespace) {
      throw badRequestError('the namespace of the provided object does not match the namespace sent on the request');
    }
    delete metadata.namespace;
    return metadata;
  }
  if (metadata.namespace && metadata.namespace !== target.namespace) {
    throw badRequestError('the namespace of the provided object does not match the namespace sent on the request');
  }
  metadata.namespace = target.namespace;
  return metadata;
}

/** Takes the fields that only the server sets out of a new object and sets them. */
export function stampNew(metadata: V1ObjectMeta, random: Random, now: number): void {
  delete metadata.deletionTimestamp;
  delete metadata.deletionGracePeriodSeconds;
  delete metadata.selfLink;
  delete metadata.managedFields;
  delete metadata.generation;
  delete metadata.resourceVersion;
  metadata.uid = random.uuid();
  metadata.creationTimestamp = timestamp(now);
}

export function generatedName(prefix: string, random: Random): string {
  return prefix.slice(0, longestPrefix) + random.suffix(suffixLength);
}

/**
 * Before an update: the name and namespace of the body must be those of the path, and what only
 * the server sets is as it was.
 */
export function keepServerFields(object: ApiObject, old: ApiObject, target: Target): void {
  object.metadata ??= {};
  const { metadata } = object;
  const before = old.metadata!;
  if (!metadata.name) {
    throw badRequestError(
      `the name of the object (${target.name} based on URL) was undeterminable: name must be provided`,
    );
  }
  if (metadata.name !== target.name) {
    throw badRequestError(
      `the name of the object (${metadata.name}) does not match the name on the URL (${target.name})`,
    );
  }
  if (metadata.namespace && metadata.namespace !== (before.namespace ?? '')) {
    throw badRequestError(
      `the namespace of the object (${metadata.namespace}) does not match the namespace on the request (${before.namespace ?? ''})`,
    );
  }
  restore(metadata, before, 'namespace');
  restore(metadata, before, 'uid');
  restore(metadata, before, 'creationTimestamp');
  restore(metadata, before, 'deletionTimestamp');
  restore(metadata, before, 'deletionGracePeriodSeconds');
  restore(metadata, before, 'generation');
  restore(metadata, before, 'resourceVersion');
  delete metadata.selfLink;
}

function restore<K extends keyof V1ObjectMeta>(metadata: V1ObjectMeta, before: V1ObjectMeta, key: K): void {
  if (before[key] === undefined) delete metadata[key];
  else metadata[key] = before[key];
}

/** Whether two versions say the same, apart from the version and the history of their fields. */
export function sameContent(a: ApiObject, b: ApiObject): boolean {
  for (const key in a) if (key !== 'metadata' && !equalJson(a[key], b[key])) return false;
  for (const key in b) if (key !== 'metadata' && b[key] !== undefined && a[key] === undefined) return false;
  const { resourceVersion: _a, managedFields: _b, ...left } = a.metadata!;
  const { resourceVersion: _c, managedFields: _d, ...right } = b.metadata!;
  return equalJson(left, right);
}

/** Whether two histories differ only in their times. */
export function sameManagers(a: V1ObjectMeta, b: V1ObjectMeta): boolean {
  const timeless = (metadata: V1ObjectMeta): unknown =>
    (metadata.managedFields ?? []).map(({ time: _, ...entry }) => entry);
  return equalJson(timeless(a), timeless(b));
}
