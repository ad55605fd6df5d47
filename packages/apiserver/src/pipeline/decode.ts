import { type ApiObject, badRequestError, decodeObject, type KindDeclaration } from '@wherry/api';
import { groupVersionOf } from '../registry/catalog.ts';
import type { RequestOptions } from './request.ts';

/**
 * Decodes a JSON value as an object of a kind; the value belongs to the result afterwards. Unknown
 * fields are refused, warned of or dropped as the request's field validation says (KEP-2885).
 * Errors: 400 in upstream's words.
 */
export function decodeBody(
  kind: KindDeclaration,
  body: unknown,
  options: RequestOptions,
  duplicateFields: readonly string[] = [],
): ApiObject {
  const cannot = (why: string): Error =>
    badRequestError(
      `${kind.kind} in version ${JSON.stringify(kind.version)} cannot be handled as a ${kind.kind}: ${why}`,
    );
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw cannot(`json: cannot unmarshal ${goType(body)} into Go value of type ${kind.version}.${kind.kind}`);
  }
  checkType(kind, body as ApiObject);
  const decoded = decodeObject(kind.schema, body);
  if (!decoded.ok) throw cannot(decoded.message);
  const complaints = [
    ...duplicateFields.map((path) => `duplicate field ${JSON.stringify(path)}`),
    ...decoded.unknownFields.map((path) => `unknown field ${JSON.stringify(path)}`),
  ];
  if (complaints.length > 0) {
    if (options.fieldValidation === 'Strict') throw cannot(`strict decoding error: ${complaints.join(', ')}`);
    if (options.fieldValidation === 'Warn') for (const complaint of complaints) options.warn(complaint);
  }
  const object = decoded.object as ApiObject;
  object.apiVersion = groupVersionOf(kind);
  object.kind = kind.kind;
  return object;
}

/** The body may leave out what the path says; it may not contradict it. */
function checkType(kind: KindDeclaration, object: ApiObject): void {
  const expected = groupVersionOf(kind);
  if (object.apiVersion && object.apiVersion !== expected) {
    throw badRequestError(
      `the API version in the data (${String(object.apiVersion)}) does not match the expected API version (${expected})`,
    );
  }
  if (object.kind && object.kind !== kind.kind) {
    throw badRequestError(
      `${String(object.kind)} in version ${JSON.stringify(kind.version)} cannot be handled as a ${kind.kind}: converting (${kind.version}.${String(object.kind)}) to (${kind.version}.${kind.kind}): unknown conversion`,
    );
  }
}

function goType(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  return typeof value === 'boolean' ? 'bool' : value === null ? 'null' : typeof value;
}
