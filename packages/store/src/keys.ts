import { WherryError } from '@wherry/base';

/** LMDB's limit on 4 KiB pages is 1,978 bytes; a version key adds nine to this. */
export const longestKey = 1024;

/** The UTF-8 bytes of a key. Throws `invalid` for an empty or overlong key and for one with a NUL. */
export function encodeKey(key: string): Buffer {
  const bytes = encodePrefix(key);
  if (bytes.length === 0) throw new WherryError('invalid', 'a store key must not be empty');
  return bytes;
}

/** As `encodeKey`, for a prefix: the empty one is allowed and means every key. */
export function encodePrefix(prefix: string): Buffer {
  const bytes = Buffer.from(prefix, 'utf8');
  if (bytes.length > longestKey) {
    throw new WherryError(
      'invalid',
      `a store key must not be longer than ${longestKey} bytes, this one has ${bytes.length}`,
    );
  }
  // NUL separates key and revision in version keys.
  if (bytes.includes(0)) throw new WherryError('invalid', 'a store key must not contain a NUL byte');
  return bytes;
}

/** The first key after all keys with this prefix, or `undefined` when there is none. */
export function afterPrefix(prefix: Buffer): Buffer | undefined {
  const end = Buffer.from(prefix);
  for (let at = end.length - 1; at >= 0; at--) {
    const byte = end[at]!;
    if (byte < 0xff) {
      end[at] = byte + 1;
      return end.subarray(0, at + 1);
    }
  }
  return undefined;
}
