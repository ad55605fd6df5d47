import { textOfName, WherryError } from '@wherry/base';

/**
 * An octal field among blanks and zeros, or with the top bit set a big-endian binary one (GNU). Throws `corrupt`. Byte by
 * byte: an archive has ten for each of its files.
 */
export function numberField(block: Buffer, offset: number, length: number): number {
  if ((block[offset]! & 0x80) === 0) return octal(block, offset, offset + length);
  // Two's complement; the bit that says so is none of it.
  let value = (block[offset]! & 0x40) === 0 ? BigInt(block[offset]! & 0x7f) : BigInt(block[offset]!) - 256n;
  for (let at = offset + 1; at < offset + length; at++) value = (value << 8n) | BigInt(block[at]!);
  return Number(value);
}

function octal(block: Buffer, start: number, end: number): number {
  let at = start;
  while (at < end && (block[at] === blank || block[at] === 0)) at++;
  let value = 0;
  for (; at < end && block[at]! >= zero && block[at]! < zero + 8; at++) value = value * 8 + block[at]! - zero;
  while (at < end && block[at] === blank) at++;
  if (at < end && block[at] !== 0) throw new WherryError('corrupt', 'archive/tar: invalid tar header');
  return value;
}

const blank = 0x20;
const zero = 0x30;

/** A field up to its first zero. */
export function textField(block: Buffer, offset: number, length: number): string {
  if (block[offset] === 0) return '';
  const end = block.indexOf(0, offset);
  return textOfName(block.subarray(offset, end < 0 ? offset + length : Math.min(end, offset + length)));
}
