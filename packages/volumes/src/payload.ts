import type { V1ConfigMap, V1KeyToPath, V1Secret } from '@wherry/api';
import { WherryError } from '@wherry/base';

/** One file of a volume that is made from API objects. */
export interface VolumeFile {
  readonly content: Uint8Array;
  /** Permission bits. */
  readonly mode: number;
  /** Owner of the file when it is not root (service account tokens of containers with a user). */
  readonly uid?: number | undefined;
}

/** Files by their path relative to the volume. */
export type Payload = ReadonlyMap<string, VolumeFile>;

/** The largest content of one volume; objects are bounded by the API, projections join several. */
const payloadLimit = 16 << 20;

/**
 * Checks a path inside a volume as upstream's API does: relative, no `..` element, nothing that
 * starts with `..` at the top (that is the atomic writer's), at most 4096 bytes. Throws `invalid`.
 */
export function checkVolumePath(path: string): string {
  const elements = path.split('/');
  if (path === '' || path.startsWith('/') || path.includes('\0') || Buffer.byteLength(path) > 4096)
    throw new WherryError('invalid', `invalid path in a volume: ${JSON.stringify(path)}`);
  if (elements.includes('..') || elements[0]?.startsWith('..'))
    throw new WherryError('invalid', `a path in a volume must not hold "..": ${JSON.stringify(path)}`);
  for (const element of elements)
    if (Buffer.byteLength(element) > 255)
      throw new WherryError('invalid', `a name in a volume is longer than 255 bytes: ${JSON.stringify(path)}`);
  return elements.filter((element) => element !== '' && element !== '.').join('/');
}

/** What a ConfigMap or Secret gives to a volume. */
export interface KeySource {
  readonly kind: 'configmap' | 'secret';
  readonly name: string;
  readonly items?: readonly V1KeyToPath[] | undefined;
  readonly optional?: boolean | undefined;
}

/** The bytes of all keys of a ConfigMap. */
export function configMapContents(object: V1ConfigMap): Map<string, Uint8Array> {
  const contents = new Map<string, Uint8Array>();
  for (const [key, text] of Object.entries(object.data ?? {})) contents.set(key, Buffer.from(text, 'utf8'));
  for (const [key, text] of Object.entries(object.binaryData ?? {})) contents.set(key, Buffer.from(text, 'base64'));
  return contents;
}

/** The bytes of all keys of a Secret. */
export function secretContents(object: V1Secret): Map<string, Uint8Array> {
  const contents = new Map<string, Uint8Array>();
  for (const [key, text] of Object.entries(object.data ?? {})) contents.set(key, Buffer.from(text, 'base64'));
  return contents;
}

/**
 * Chooses keys as `items` says (all of them without). `contents` is `undefined` when the object is
 * not there. Throws `notFound` in upstream's words unless the source is optional.
 */
export function keyFiles(
  source: KeySource,
  contents: ReadonlyMap<string, Uint8Array> | undefined,
  defaultMode: number,
): Map<string, VolumeFile> {
  const files = new Map<string, VolumeFile>();
  if (contents === undefined) {
    if (source.optional === true) return files;
    throw new WherryError('notFound', `${source.kind} ${JSON.stringify(source.name)} not found`);
  }
  if (source.items === undefined || source.items.length === 0) {
    for (const [key, content] of contents) files.set(checkVolumePath(key), { content, mode: defaultMode });
    return files;
  }
  for (const item of source.items) {
    const content = contents.get(item.key);
    if (content !== undefined) files.set(checkVolumePath(item.path), { content, mode: item.mode ?? defaultMode });
    else if (source.optional !== true)
      throw new WherryError(
        'notFound',
        `${source.kind} references non-existent ${kindWord(source.kind)} key: ${item.key}`,
      );
  }
  return files;
}

function kindWord(kind: KeySource['kind']): string {
  return kind === 'configmap' ? 'config' : 'secret';
}

/** Joins payloads; a later file at the same path wins. Throws `tooLarge` beyond 16 MiB. */
export function joinPayloads(parts: Iterable<Payload>): Map<string, VolumeFile> {
  const files = new Map<string, VolumeFile>();
  for (const part of parts) for (const [path, file] of part) files.set(path, file);
  let total = 0;
  for (const file of files.values()) total += file.content.length;
  if (total > payloadLimit)
    throw new WherryError('tooLarge', `the volume would hold ${total} bytes, more than ${payloadLimit}`);
  return files;
}
