import { randomBytes, randomFillSync, randomUUID } from 'node:crypto';

/** A source of randomness, injected where names or ids are made. */
export interface Random {
  /** `length` lower-case hexadecimal digits. */
  hex(length: number): string;
  uuid(): string;
  /** A suffix as Kubernetes makes it for `generateName`: no vowels, no look-alikes. */
  suffix(length: number): string;
}

/** The alphabet of Kubernetes' generated names (apimachinery `rand.SafeEncodeString`). */
const safe = 'bcdfghjklmnpqrstvwxz2456789';

/** Bytes that are fetched at a time: each request of a daemon takes a few, and to fetch them costs more than to use them. */
const ahead = Buffer.alloc(2048);
let taken = ahead.length;

/** Valid until the next call. */
function take(count: number): Buffer {
  if (count > ahead.length) return randomBytes(count);
  if (taken + count > ahead.length) {
    randomFillSync(ahead);
    taken = 0;
  }
  taken += count;
  return ahead.subarray(taken - count, taken);
}

/** Cryptographic randomness of the host. */
export const systemRandom: Random = {
  hex: (length) =>
    take(Math.ceil(length / 2))
      .toString('hex')
      .slice(0, length),
  uuid: () => randomUUID(),
  suffix: (length) => {
    let text = '';
    while (text.length < length) {
      // 27 letters: bytes of 243 and above would favour the first ones.
      for (const byte of take(length)) if (byte < 243 && text.length < length) text += safe[byte % 27];
    }
    return text;
  },
};
