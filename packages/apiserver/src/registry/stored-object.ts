import type { ApiObject } from '@wherry/api';
import { deepFreeze } from './json.ts';

const anchor = Buffer.from('"metadata":{');

/**
 * One version of one object. The store keeps its JSON without `resourceVersion` (the revision is
 * known only once it is written); the version is spliced in here, once, when somebody needs it.
 * Decoded objects are frozen and shared by everybody in the process.
 */
export class StoredObject {
  /** `namespace/name`, or `name` for cluster-scoped objects. */
  readonly key: string;
  readonly revision: number;
  #raw: Uint8Array | undefined;
  #bytes: Buffer | undefined;
  #object: ApiObject | undefined;

  constructor(key: string, revision: number, raw: Uint8Array) {
    this.key = key;
    this.revision = revision;
    this.#raw = raw;
  }

  /** An object that is not in the store: the answer of a dry run or of a subresource. */
  static transient(object: ApiObject): StoredObject {
    const stored = new StoredObject('', 0, new Uint8Array());
    stored.#raw = undefined;
    stored.#object = deepFreeze(object);
    return stored;
  }

  /** The encoded JSON with `resourceVersion`. */
  get bytes(): Buffer {
    if (this.#bytes === undefined) {
      this.#bytes =
        this.#raw === undefined ? Buffer.from(JSON.stringify(this.#object)) : spliceRevision(this.#raw, this.revision);
      this.#raw = undefined;
    }
    return this.#bytes;
  }

  /** The decoded object, frozen. */
  get object(): ApiObject {
    this.#object ??= deepFreeze(JSON.parse(this.bytes.toString('utf8')) as ApiObject);
    return this.#object;
  }

  /** Whether `raw` is the stored form of this version; tells a writer's own event from others'. */
  isEncodedAs(raw: Uint8Array): boolean {
    return this.#raw !== undefined && this.#raw.length === raw.length && Buffer.compare(this.#raw, raw) === 0;
  }

  /** Takes over the decoded form from the writer, who had it anyway. The object must not be changed after this. */
  adopt(object: ApiObject): void {
    if (this.#object !== undefined) return;
    object.metadata!.resourceVersion = String(this.revision);
    this.#object = deepFreeze(object);
  }

  /** Drops the decoded form where the encoded one is there: for what is history and hardly read again. */
  release(): void {
    if (this.#raw !== undefined || this.#bytes !== undefined) this.#object = undefined;
  }

  /** Bytes that this version holds in memory, without the decoded form. */
  get size(): number {
    return this.#raw?.length ?? this.#bytes?.length ?? 0;
  }

  /** The same content under another version: how a deletion or a left selection is announced. */
  reissued(revision: number): StoredObject {
    const stored = new StoredObject(this.key, revision, this.#raw ?? encodeStored(this.object));
    if (this.#object === undefined) return stored;
    const { metadata } = this.#object;
    stored.#object = deepFreeze({ ...this.#object, metadata: { ...metadata, resourceVersion: String(revision) } });
    return stored;
  }
}

/** The stored form: `kind`, `apiVersion` and `metadata` first, so that the version can be spliced in without decoding. */
export function encodeStored(object: ApiObject): Buffer {
  const { kind, apiVersion, metadata, ...rest } = object;
  const { resourceVersion: _, ...stored } = metadata!;
  return Buffer.from(JSON.stringify({ kind, apiVersion, metadata: stored, ...rest }));
}

function spliceRevision(raw: Uint8Array, revision: number): Buffer {
  const source = Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength);
  const at = source.indexOf(anchor) + anchor.length;
  const field = `"resourceVersion":"${revision}",`;
  // Not from Node's pool: this lives long, and would keep 8 KiB of the pool alive.
  const bytes = Buffer.allocUnsafeSlow(source.length + field.length);
  source.copy(bytes, 0, 0, at);
  bytes.write(field, at, 'latin1');
  source.copy(bytes, at + field.length, at);
  return bytes;
}
