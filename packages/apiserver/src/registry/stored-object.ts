import type { ApiObject } from '@wherry/api';
import { deepFreeze } from './json.ts';

const anchor = Buffer.from('"metadata":{');

/**
 * One version of one object. The store keeps its JSON without `resourceVersion` (the revision is
 * known only once it is written); the version is spliced in here, once, when somebody needs it.
 * Decoded objects are frozen and shared by everybody in the process, for as long as somebody holds them:
 * a decoded object takes several times the memory of its JSON, and most kinds are read by clients only.
 */
export class StoredObject {
  /** `namespace/name`, or `name` for cluster-scoped objects. */
  readonly key: string;
  readonly revision: number;
  #raw: Uint8Array | undefined;
  #bytes: Buffer | undefined;
  /** The decoded form of what is not encoded. */
  #own: ApiObject | undefined;
  #decoded: WeakRef<ApiObject> | undefined;

  constructor(key: string, revision: number, raw: Uint8Array) {
    this.key = key;
    this.revision = revision;
    this.#raw = raw;
  }

  /** An object that is not in the store: the answer of a dry run or of a subresource. */
  static transient(object: ApiObject): StoredObject {
    const stored = new StoredObject('', 0, new Uint8Array());
    stored.#raw = undefined;
    stored.#own = deepFreeze(object);
    return stored;
  }

  /** The encoded JSON with `resourceVersion`. */
  get bytes(): Buffer {
    if (this.#bytes === undefined) {
      this.#bytes =
        this.#raw === undefined ? Buffer.from(JSON.stringify(this.#own)) : spliceRevision(this.#raw, this.revision);
      this.#raw = undefined;
    }
    return this.#bytes;
  }

  /** The decoded object, frozen. */
  get object(): ApiObject {
    const known = this.#own ?? this.#decoded?.deref();
    if (known !== undefined) return known;
    return this.#remember(JSON.parse(this.bytes.toString('utf8')) as ApiObject);
  }

  #remember(object: ApiObject): ApiObject {
    this.#decoded = new WeakRef(deepFreeze(object));
    return object;
  }

  /** Whether `raw` is the stored form of this version; tells a writer's own event from others'. */
  isEncodedAs(raw: Uint8Array): boolean {
    return this.#raw !== undefined && this.#raw.length === raw.length && Buffer.compare(this.#raw, raw) === 0;
  }

  /** Takes over the decoded form from the writer, who had it anyway. The object must not be changed after this. */
  adopt(object: ApiObject): void {
    if (this.#decoded?.deref() !== undefined) return;
    object.metadata!.resourceVersion = String(this.revision);
    this.#remember(object);
  }

  /** Bytes that this version holds in memory, without the decoded form. */
  get size(): number {
    return this.#raw?.length ?? this.#bytes?.length ?? 0;
  }

  /** The same content under another version: how a deletion or a left selection is announced. */
  reissued(revision: number): StoredObject {
    const stored = new StoredObject(this.key, revision, this.#raw ?? unspliced(this.bytes, this.revision));
    const object = this.#own ?? this.#decoded?.deref();
    if (object !== undefined) {
      stored.#remember({ ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } });
    }
    return stored;
  }
}

/** The stored form: `kind`, `apiVersion` and `metadata` first, so that the version can be spliced in without decoding. */
export function encodeStored(object: ApiObject): Buffer {
  const { kind, apiVersion, metadata, ...rest } = object;
  const { resourceVersion: _, ...stored } = metadata!;
  return Buffer.from(JSON.stringify({ kind, apiVersion, metadata: stored, ...rest }));
}

const revisionField = (revision: number): string => `"resourceVersion":"${revision}",`;

function unspliced(bytes: Buffer, revision: number): Buffer {
  const at = bytes.indexOf(anchor) + anchor.length;
  const { length } = revisionField(revision);
  const raw = Buffer.allocUnsafeSlow(bytes.length - length);
  bytes.copy(raw, 0, 0, at);
  bytes.copy(raw, at, at + length);
  return raw;
}

function spliceRevision(raw: Uint8Array, revision: number): Buffer {
  const source = Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength);
  const at = source.indexOf(anchor) + anchor.length;
  const field = revisionField(revision);
  // Not from Node's pool: this lives long, and would keep 8 KiB of the pool alive.
  const bytes = Buffer.allocUnsafeSlow(source.length + field.length);
  source.copy(bytes, 0, 0, at);
  bytes.write(field, at, 'latin1');
  source.copy(bytes, at + field.length, at);
  return bytes;
}
