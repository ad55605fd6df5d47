import { statusError } from '@wherry/api';

/** Largest request body (upstream's default, bytes). */
export const largestBody = 3 * 1024 * 1024;

/** Largest object in the store (etcd's default request limit, bytes). */
export const largestObject = 1536 * 1024;

/** Most entries and bytes of an object's field history are upstream's; this bounds what one object may carry. */
export function checkObjectSize(raw: Uint8Array, kind: string, name: string): void {
  if (raw.length <= largestObject) return;
  throw statusError(
    'tooLarge',
    `${kind} ${JSON.stringify(name)} is too large: its encoding has ${raw.length} bytes, the limit is ${largestObject}`,
  );
}
