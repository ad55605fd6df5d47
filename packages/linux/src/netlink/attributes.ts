/** The value of a netlink attribute: an unsigned 32-bit number, bytes, or attributes inside. Strings are NUL-terminated. */
export type AttributeValue = number | string | Uint8Array | readonly Attribute[];
/** A type and a value; `undefined` values are left out of the message. */
export type Attribute = readonly [type: number, value: AttributeValue | undefined];

const nestedFlag = 0x8000;

/** Encodes attributes as type-length-value, each padded to 4 bytes (netlink(7)). Host byte order, which is little-endian wherever Node runs on Linux but s390x. */
export function encodeAttributes(attributes: readonly Attribute[]): Buffer {
  const parts: Buffer[] = [];
  for (const [type, value] of attributes) {
    if (value === undefined) continue;
    const payload = encodeValue(value);
    const length = 4 + payload.length;
    const part = Buffer.alloc((length + 3) & ~3);
    part.writeUInt16LE(length, 0);
    part.writeUInt16LE(Array.isArray(value) ? type | nestedFlag : type, 2);
    part.set(payload, 4);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function encodeValue(value: AttributeValue): Uint8Array {
  if (typeof value === 'number') return u32(value);
  if (typeof value === 'string') return Buffer.from(value + '\0');
  if (value instanceof Uint8Array) return value;
  return encodeAttributes(value);
}

/** Four bytes in host byte order. */
export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

/** The attributes of a message by type (without flag bits); stops at the first that does not fit. */
export function decodeAttributes(bytes: Buffer): Map<number, Buffer> {
  const attributes = new Map<number, Buffer>();
  let at = 0;
  while (at + 4 <= bytes.length) {
    const length = bytes.readUInt16LE(at);
    if (length < 4 || at + length > bytes.length) break;
    attributes.set(bytes.readUInt16LE(at + 2) & 0x3fff, bytes.subarray(at + 4, at + length));
    at += (length + 3) & ~3;
  }
  return attributes;
}

/** The text of a NUL-terminated attribute. */
export function textOf(bytes: Buffer | undefined): string | undefined {
  if (bytes === undefined) return undefined;
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end < 0 ? bytes.length : end);
}
