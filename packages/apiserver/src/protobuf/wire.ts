import { badRequestError } from '@wherry/api';

/** One field of a message as it stands on the wire. */
export type WireField =
  | { readonly number: number; readonly kind: 'varint'; readonly value: bigint }
  | { readonly number: number; readonly kind: 'fixed64'; readonly bytes: Buffer }
  | { readonly number: number; readonly kind: 'bytes'; readonly bytes: Buffer };

/** The fields of a message in order (protobuf encoding; groups do not occur). Error 400 for anything cut short. */
export function* wireFields(message: Buffer): Generator<WireField> {
  const cursor = { at: 0 };
  while (cursor.at < message.length) {
    const tag = Number(varint(message, cursor));
    const number = Math.floor(tag / 8);
    switch (tag % 8) {
      case 0:
        yield { number, kind: 'varint', value: varint(message, cursor) };
        break;
      case 1:
        yield { number, kind: 'fixed64', bytes: take(message, cursor, 8) };
        break;
      case 2:
        yield { number, kind: 'bytes', bytes: take(message, cursor, Number(varint(message, cursor))) };
        break;
      case 5:
        take(message, cursor, 4);
        break;
      default:
        throw malformed();
    }
  }
}

function take(message: Buffer, cursor: { at: number }, length: number): Buffer {
  const end = cursor.at + length;
  if (end > message.length) throw malformed();
  const bytes = message.subarray(cursor.at, end);
  cursor.at = end;
  return bytes;
}

/** A variable-length integer as an unsigned 64-bit number. */
export function varint(message: Buffer, cursor: { at: number }): bigint {
  let small = 0;
  for (let shift = 0; shift < 28; shift += 7) {
    const byte = message[cursor.at++];
    if (byte === undefined) throw malformed();
    small += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return BigInt(small);
  }
  let value = BigInt(small);
  for (let shift = 28n; shift < 70n; shift += 7n) {
    const byte = message[cursor.at++];
    if (byte === undefined) throw malformed();
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) return BigInt.asUintN(64, value);
  }
  throw malformed();
}

/** A signed integer out of a varint (two's complement in 64 bits). */
export function signed(value: bigint): number {
  return Number(BigInt.asIntN(64, value));
}

export function malformed(): Error {
  return badRequestError('the body is no valid protobuf message');
}
