import { WherryError } from '@wherry/base';

/** Keys that GNU tar 1.14 repeats for each part of a sparse file; they are gathered under `GNU.sparse.map`. */
const sparsePart = /^GNU\.sparse\.(?:offset|numbytes)$/;

/** Records `length key=value\n`, the length counting all of itself (pax, "Extended Header"). Throws `corrupt`. */
export function parsePax(content: Buffer): Map<string, Buffer> {
  const records = new Map<string, Buffer>();
  const parts: Buffer[] = [];
  let at = 0;
  while (at < content.length) {
    const space = content.indexOf(0x20, at);
    const digits = content.toString('latin1', at, Math.max(space, at));
    const length = /^\d{1,9}$/.test(digits) ? Number(digits) : Number.NaN;
    const end = at + length;
    const equals = content.indexOf(0x3d, space);
    const whole = Number.isInteger(length) && end <= content.length && equals > 0 && equals < end;
    if (!whole || content[end - 1] !== 0x0a) throw new WherryError('corrupt', 'archive/tar: invalid tar header');
    const key = content.toString('utf8', space + 1, equals);
    const value = content.subarray(equals + 1, end - 1);
    if (sparsePart.test(key)) parts.push(value);
    else records.set(key, value);
    at = end;
  }
  if (parts.length > 0) records.set('GNU.sparse.map', Buffer.from(parts.map((part) => part.toString()).join(',')));
  return records;
}

/** A number of a pax record. Throws `corrupt`. */
export function paxNumber(pax: ReadonlyMap<string, Buffer>, key: string, otherwise: number): number {
  const value = pax.get(key);
  if (value === undefined || value.length === 0) return otherwise;
  const text = value.toString('latin1');
  if (!/^-?\d+(?:\.\d*)?$/.test(text)) throw new WherryError('corrupt', `invalid ${key} in a pax header`);
  return Number(text);
}

/** The part of a pax time below a second, which a number of seconds is not exact enough for. */
export function paxNanoseconds(pax: ReadonlyMap<string, Buffer>, key: string): number {
  const value = pax.get(key);
  if (value === undefined) return 0;
  const [, sign, fraction = ''] = /^(-?)\d+(?:\.(\d*))?$/.exec(value.toString('latin1')) ?? [];
  const nanoseconds = Number(fraction.slice(0, 9).padEnd(9, '0'));
  return sign === '-' && nanoseconds > 0 ? 1e9 - nanoseconds : nanoseconds;
}

/** Extended attributes, by their names. */
export function xattrsOf(pax: ReadonlyMap<string, Buffer>): ReadonlyMap<string, Buffer> {
  if (pax.size === 0) return none;
  const found = new Map<string, Buffer>();
  for (const [key, value] of pax) if (key.startsWith('SCHILY.xattr.')) found.set(key.slice(13), value);
  return found;
}

const none: ReadonlyMap<string, Buffer> = new Map();
