import { WherryError } from '@wherry/base';
import { applyOperation, applyPatch, getValueByPointer, type JsonPatchError, type Operation } from 'fast-json-patch';
import { statusError } from '../status.ts';

/** More operations than this are refused, as upstream does. */
const mostOperations = 10_000;

/** What all copies of a patch may come to (upstream's limit, bytes): copies of copies double what is there. */
const mostCopied = 3 * 1024 * 1024;

function refused(text: string, cause: unknown): WherryError {
  const message = 'the server rejected our request due to an error in our request';
  const causes = [{ reason: 'UnexpectedServerResponse', message: text }];
  return statusError('invalid', message, { reason: 'Invalid', code: 422, details: { causes } }, cause);
}

function failureText(error: JsonPatchError, operations: readonly Operation[]): string {
  const { op, path } = operations[error.index ?? 0] ?? { op: 'patch', path: '' };
  switch (error.name) {
    case 'TEST_OPERATION_FAILED':
      return `testing value ${path} failed: test failed`;
    case 'OPERATION_PATH_UNRESOLVABLE':
    case 'OPERATION_FROM_UNRESOLVABLE':
      return `${op} operation does not apply: doc is missing path: ${JSON.stringify(path)}: missing value`;
    default:
      return `${op} operation does not apply: ${error.message.split('\n')[0]}`;
  }
}

/** Bytes of a value as JSON; none for what is not there, which the operation itself refuses. */
function sizeAt(document: unknown, pointer: string): number {
  try {
    return JSON.stringify(getValueByPointer(document, pointer))?.length ?? 0;
  } catch {
    return 0;
  }
}

/** Changes the document; what is copied is counted before it is. */
function applied(document: unknown, operations: readonly Operation[]): unknown {
  if (!operations.some(({ op }) => op === 'copy'))
    return applyPatch(document, operations, true, true, true).newDocument;
  let copied = 0;
  let result = document;
  for (const [index, operation] of operations.entries()) {
    if (operation?.op === 'copy' && typeof operation.from === 'string') {
      copied += sizeAt(result, operation.from);
      if (copied > mostCopied) {
        throw new WherryError('tooLarge', `The copies of the JSON patch come to more than ${mostCopied} bytes`);
      }
    }
    result = applyOperation(result, operation, true, true, true, index).newDocument;
  }
  return result;
}

/**
 * The result of a JSON patch (RFC 6902); the document is not changed. Error `invalid` with a whole
 * Status: 422 for operations that do not apply, 413 for too many and for too much that is copied.
 */
export function applyJsonPatch(document: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch))
    throw new WherryError(
      'invalid',
      'error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch',
    );
  if (patch.length > mostOperations) {
    throw new WherryError(
      'tooLarge',
      `The allowed maximum operations in a JSON patch is ${mostOperations}, got ${patch.length}`,
    );
  }
  const operations = structuredClone(patch) as Operation[];
  try {
    return applied(structuredClone(document), operations);
  } catch (error) {
    if (error instanceof WherryError) throw error;
    throw refused(failureText(error as JsonPatchError, operations), error);
  }
}
