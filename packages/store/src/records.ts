import { crc32 } from 'node:zlib';
import { WherryError } from '@wherry/base';
import type { KeyValue, Revision } from './store.ts';

/**
 * Records of the tables, integers big-endian. Revisions are 64 bits on disk; in memory they are
 * numbers, exact up to 2^53 (285 years at a million changes a second).
 *
 *   current   key            → crc u32, create u64, mod u64, value
 *   versions  key 00 mod u64 → crc u32, create u64, until u64, value   (alive in [mod, until))
 *   log       revision u64   → previous mod u64 (0: none), key         (one per change)
 *   meta      name           → u64
 *
 * The checksum covers what follows it: LMDB has none, and a flipped bit on a disk must not become
 * somebody's configuration.
 */
const header = 20;

export function encodeRevision(revision: Revision): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigUInt64BE(BigInt(revision));
  return bytes;
}

export function decodeRevision(bytes: Buffer, offset = 0): Revision {
  return Number(bytes.readBigUInt64BE(offset));
}

/** A record of `current` (`second` is the mod revision) or `versions` (`second` is `until`). */
export function encodeRecord(create: Revision, second: Revision, value: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(header + value.length);
  bytes.writeBigUInt64BE(BigInt(create), 4);
  bytes.writeBigUInt64BE(BigInt(second), 12);
  bytes.set(value, header);
  bytes.writeUInt32BE(crc32(bytes.subarray(4)), 0);
  return bytes;
}

export interface Record {
  readonly create: Revision;
  readonly second: Revision;
  readonly value: Buffer;
}

/** Throws `corrupt` when the checksum does not match. */
export function decodeRecord(bytes: Buffer, key: string): Record {
  if (bytes.length < header || bytes.readUInt32BE(0) !== crc32(bytes.subarray(4))) {
    throw new WherryError('corrupt', `the stored value of ${key} does not match its checksum`);
  }
  return { create: decodeRevision(bytes, 4), second: decodeRevision(bytes, 12), value: bytes.subarray(header) };
}

export function decodeCurrent(bytes: Buffer, key: string): KeyValue {
  const { create, second, value } = decodeRecord(bytes, key);
  return { key, value, createRevision: create, modRevision: second };
}

export function versionKey(key: Buffer, mod: Revision): Buffer {
  const bytes = Buffer.alloc(key.length + 9);
  bytes.set(key);
  bytes.writeBigUInt64BE(BigInt(mod), key.length + 1);
  return bytes;
}

/** A past version of a key and the revision that ended it. */
export function decodeVersion(entryKey: Buffer, bytes: Buffer): { readonly kv: KeyValue; readonly until: Revision } {
  const key = entryKey.toString('utf8', 0, entryKey.length - 9);
  const { create, second, value } = decodeRecord(bytes, key);
  const modRevision = decodeRevision(entryKey, entryKey.length - 8);
  return { kv: { key, value, createRevision: create, modRevision }, until: second };
}

export function encodeLog(previous: Revision, key: Buffer): Buffer {
  return Buffer.concat([encodeRevision(previous), key]);
}

export function decodeLog(bytes: Buffer): { readonly previous: Revision; readonly key: Buffer } {
  return { previous: decodeRevision(bytes), key: bytes.subarray(8) };
}
