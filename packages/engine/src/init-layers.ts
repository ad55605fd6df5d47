import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { codeOf } from '@wherry/base';
import { getExtendedAttribute, listExtendedAttributes, lookUpInOverlay, setExtendedAttribute } from '@wherry/linux';

/** What dockerd makes between the layers of an image and that of a container (moby, daemon/initlayer), by folder. */
const wanted = {
  '': { '.dockerenv': 'file', proc: 'folder', sys: 'folder' },
  dev: { console: 'file', pts: 'folder', shm: 'folder' },
  etc: { hostname: 'file', hosts: 'file', 'resolv.conf': 'file', mtab: 'link' },
} as const satisfies Record<string, Record<string, 'file' | 'folder' | 'link'>>;

const mountTable = '/proc/mounts';

type Attributes = readonly (readonly [name: string, base64: string])[];

type LayerEntry =
  | { readonly path: string; readonly kind: 'file' | 'link' }
  | {
      readonly path: string;
      readonly kind: 'folder';
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
      readonly attributes: Attributes;
    };

const temporaryPrefix = '.make-';
/** Images whose layer is remembered. */
const mostKnown = 1000;

/**
 * Layers with `/.dockerenv` and the places that the engine mounts on, so that these are no changes of a container's own.
 * One holds whatever an image lacks of them: images that lack the same share one, which is made once.
 */
export class InitLayers {
  readonly #folder: string;
  /** By the image's layers, which do not change. */
  readonly #known = new Map<string, string>();

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true, mode: 0o711 });
  }

  /** The layer that belongs above these, topmost first. */
  above(lowerDirectories: readonly string[]): string {
    const key = lowerDirectories.join(':');
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const layer = this.#layerOf(entriesAbove(lowerDirectories));
    if (this.#known.size >= mostKnown) this.#known.clear();
    this.#known.set(key, layer);
    return layer;
  }

  /** Removes the layers that `used` does not name, and what a crash left half made. Only before any is asked for. */
  clear(used: ReadonlySet<string>): void {
    for (const name of readdirSync(this.#folder)) {
      const layer = join(this.#folder, name);
      if (!used.has(layer)) rmSync(layer, { recursive: true, force: true });
    }
  }

  #layerOf(entries: readonly LayerEntry[]): string {
    const name = createHash('sha256').update(JSON.stringify(entries)).digest('hex').slice(0, 24);
    const layer = join(this.#folder, name);
    if (existsSync(layer)) return layer;
    const temporary = mkdtempSync(join(this.#folder, temporaryPrefix));
    try {
      chmodSync(temporary, 0o755);
      for (const entry of entries) makeEntry(join(temporary, entry.path), entry);
      renameSync(temporary, layer);
    } catch (error) {
      rmSync(temporary, { recursive: true, force: true });
      throw error;
    }
    return layer;
  }
}

/**
 * Of the files an image's own gives way, whatever it is but a folder; a folder stays as the image has it. A folder with
 * something new in it comes along as the image has it, as it would when an overlay wrote into it.
 */
function entriesAbove(lowerDirectories: readonly string[]): LayerEntry[] {
  const entries: LayerEntry[] = [];
  for (const [folder, names] of Object.entries(wanted)) {
    const found = folder === '' ? undefined : lookUpInOverlay(lowerDirectories, folder);
    const folders = folder === '' ? lowerDirectories : (found?.folders ?? []);
    if (folder !== '') entries.push(folderLike(folder, found?.status.isDirectory() === true ? found : undefined));
    for (const [name, kind] of Object.entries(names)) {
      if (lookUpInOverlay(folders, name)?.status.isDirectory() === true) continue;
      const path = join(folder, name);
      entries.push(kind === 'folder' ? folderLike(path, undefined) : { path, kind });
    }
  }
  return entries;
}

function folderLike(path: string, model: ReturnType<typeof lookUpInOverlay>): LayerEntry {
  if (model === undefined) return { path, kind: 'folder', mode: 0o755, uid: 0, gid: 0, attributes: [] };
  const { status } = model;
  return {
    path,
    kind: 'folder',
    mode: Number(status.mode) & 0o7777,
    uid: Number(status.uid),
    gid: Number(status.gid),
    attributes: attributesOf(model.path),
  };
}

/** `…overlay.…` is how the kernel keeps a layer. */
function attributesOf(path: string): Attributes {
  const names = listExtendedAttributes(path).filter((name) => !/^(?:trusted|user)\.overlay\./.test(name));
  return names.sort().map((name) => [name, getExtendedAttribute(path, name)?.toString('base64') ?? '']);
}

function makeEntry(path: string, entry: LayerEntry): void {
  if (entry.kind === 'folder') {
    mkdirSync(path);
    chownSync(path, entry.uid, entry.gid);
    chmodSync(path, entry.mode);
    for (const [name, value] of entry.attributes) setAttribute(path, name, Buffer.from(value, 'base64'));
  } else if (entry.kind === 'file') {
    writeFileSync(path, '');
    chmodSync(path, 0o755);
  } else symlinkSync(mountTable, path);
}

/** The engine's folder may be on another file system than the images. */
function setAttribute(path: string, name: string, value: Buffer): void {
  try {
    setExtendedAttribute(path, name, value);
  } catch (error) {
    if (codeOf(error) !== 'unsupported') throw error;
  }
}
