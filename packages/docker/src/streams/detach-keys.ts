import { WherryError } from '@wherry/base';

/** ctrl-p ctrl-q */
const standard = Uint8Array.of(16, 17);

/** `ctrl-p,ctrl-q`, `a`, `ctrl-@`, as bytes; nothing gives docker's own. */
export function parseDetachKeys(text: string | undefined): Uint8Array {
  if (text === undefined || text === '') return standard;
  return Uint8Array.from(
    text.split(',').map((key) => {
      const control = /^ctrl-([a-z@[\\\]^_])$/.exec(key.toLowerCase());
      if (control) return (control[1] as string).toUpperCase().charCodeAt(0) - 64;
      if (key.length === 1) return key.charCodeAt(0) & 0xff;
      throw new WherryError('invalid', `Invalid detach keys (${text}) provided`);
    }),
  );
}

/**
 * Looks for a sequence of keys in what is typed. What may be its beginning is held back until it is known to be none;
 * `take` gives what goes on, and `found` once the sequence is whole.
 */
export class DetachKeyScanner {
  readonly #keys: Uint8Array;
  #matched = 0;

  constructor(keys: Uint8Array) {
    this.#keys = keys;
  }

  take(chunk: Uint8Array): { readonly pass: Buffer; readonly found: boolean } {
    const out: number[] = [];
    for (const byte of chunk) {
      if (byte !== this.#keys[this.#matched] && this.#matched > 0) {
        out.push(...this.#keys.subarray(0, this.#matched));
        this.#matched = 0;
      }
      if (byte !== this.#keys[this.#matched]) out.push(byte);
      else if (++this.#matched === this.#keys.length) return { pass: Buffer.from(out), found: true };
    }
    return { pass: Buffer.from(out), found: false };
  }
}
