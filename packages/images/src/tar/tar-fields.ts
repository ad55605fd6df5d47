import { textOfName, WherryError } from '@wherry/base';

/** An octal field, or with the top bit set a big-endian binary one (GNU). Throws `corrupt`. */
export function numberField(block: Buffer, offset: number, length: number): number {
  if ((block[offset]! & 0x80) === 0) {
    const digits = textField(block, offset, length).trim();
    if (digits === '') return 0;
    if (!/^[0-7]+$/.test(digits)) throw new WherryError('corrupt', 'archive/tar: invalid tar header');
    return Number.parseInt(digits, 8);
  }
  // Two's complement; the bit that says so is none of it.
  let value = (block[offset]! & 0x40) === 0 ? BigInt(block[offset]! & 0x7f) : BigInt(block[offset]!) - 256n;
  for (let at = offset + 1; at < offset + length; at++) value = (value << 8n) | BigInt(block[at]!);
  return Number(value);
}

/** A field up to its first zero. */
export function textField(block: Buffer, offset: number, length: number): string {
  return textUpToZero(block.subarray(offset, offset + length));
}

function textUpToZero(field: Buffer): string {
  const end = field.indexOf(0);
  return textOfName(end < 0 ? field : field.subarray(0, end));
}
