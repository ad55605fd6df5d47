import { closeSync, constants, fstatSync, lstatSync, openSync, readdirSync, type Stats } from 'node:fs';
import { fsPath, readLinkSync, textOfName, WherryError } from '@wherry/base';
import { getExtendedAttribute, isWhiteout, listExtendedAttributes, numbersOfDevice } from '@wherry/linux';
import { idInContainer, type UserMappings } from '@wherry/runtime';
import type { TarInput } from '../tar/tar-writer.ts';

/** One entry of a layer, and from where its content is read. */
export interface Change {
  readonly entry: TarInput;
  readonly status: Stats;
  /** Of a file: opens it, if it is still one; the caller closes. */
  readonly open: (() => number | undefined) | undefined;
  /** Of a folder: what it holds hides what the layers below have. */
  readonly isOpaque: boolean;
  readonly isWhiteout: boolean;
}

/** Folders within each other are held open on the way down. */
const deepest = 1000;
const noFollow = constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * What an overlay mount wrote into its upper folder (overlayfs.rst), in the order of names, folders before
 * what they hold. Containers may still change the folder: it is walked by descriptors, so that no link put
 * in a folder's place leads out of it.
 */
export function* walkChanges(upper: string, latest: number, users?: UserMappings): Generator<Change, void, undefined> {
  const root = openSync(upper, constants.O_RDONLY | constants.O_DIRECTORY | noFollow);
  try {
    yield* walkFolder(root, '', { latest, users, links: new Map() }, 0);
  } finally {
    closeSync(root);
  }
}

interface Walk {
  readonly latest: number;
  readonly users: UserMappings | undefined;
  readonly links: Map<string, string>;
}

function* walkFolder(folder: number, prefix: string, walk: Walk, depth: number): Generator<Change, void, undefined> {
  if (depth > deepest) throw new WherryError('tooLarge', `the layer has folders more than ${deepest} deep`);
  const here = `/proc/self/fd/${folder}`;
  const names = readdirSync(here, { encoding: 'buffer' }).map(textOfName);
  for (const name of names.sort()) {
    // Such a name is a mark in an archive and can stand for no file (OCI layer.md, "Whiteouts").
    if (name.startsWith('.wh.')) continue;
    const path = `${here}/${name}`;
    const status = vanishing(() => lstatSync(fsPath(path)));
    if (status === undefined || status.isSocket()) continue;
    const change = vanishing(() => changeOf(path, prefix + name, status, walk));
    if (change === undefined) continue;
    yield change;
    if (!status.isDirectory()) continue;
    const inner = vanishing(() => openSync(fsPath(path), constants.O_RDONLY | constants.O_DIRECTORY | noFollow));
    if (inner === undefined) continue;
    try {
      yield* walkFolder(inner, `${prefix}${name}/`, walk, depth + 1);
    } finally {
      closeSync(inner);
    }
  }
}

function changeOf(path: string, name: string, status: Stats, { latest, users, links }: Walk): Change {
  const facts = {
    name,
    mode: status.mode & 0o7777,
    uid: users === undefined ? status.uid : idInContainer(users.uidMappings, status.uid),
    gid: users === undefined ? status.gid : idInContainer(users.gidMappings, status.gid),
    mtime: Math.min(Math.floor(status.mtimeMs / 1000), latest),
  };
  if (isWhiteout(status)) {
    const slash = name.lastIndexOf('/') + 1;
    const entry: TarInput = {
      name: `${name.slice(0, slash)}.wh.${name.slice(slash)}`,
      type: 'file',
      mode: 0,
      mtime: 0,
    };
    return { entry, status, open: undefined, isOpaque: false, isWhiteout: true };
  }
  const plain = { status, open: undefined, isOpaque: false, isWhiteout: false };
  if (!status.isDirectory() && status.nlink > 1) {
    const key = `${status.dev}:${status.ino}`;
    const first = links.get(key);
    if (first !== undefined) return { ...plain, entry: { ...facts, type: 'link', linkName: first } };
    links.set(key, name);
  }
  if (status.isSymbolicLink()) return { ...plain, entry: { ...facts, type: 'symlink', linkName: readLinkSync(path) } };
  const { xattrs, isOpaque } = attributesOf(path);
  if (status.isDirectory()) return { ...plain, entry: { ...facts, type: 'directory', xattrs }, isOpaque };
  if (status.isFile()) {
    return { ...plain, entry: { ...facts, type: 'file', xattrs }, open: () => openFile(path) };
  }
  const type = status.isFIFO() ? 'fifo' : status.isBlockDevice() ? 'block' : 'character';
  return { ...plain, entry: { ...facts, type, xattrs, ...numbersOfDevice(status.rdev) } };
}

function openFile(path: string): number | undefined {
  const file = vanishing(() => openSync(fsPath(path), constants.O_RDONLY | noFollow));
  if (file === undefined || fstatSync(file).isFile()) return file;
  closeSync(file);
  return undefined;
}

/** `user.*` and capabilities are the image's; `trusted.overlay.*` is how the kernel keeps the layer. */
function attributesOf(path: string): { xattrs: Map<string, Buffer>; isOpaque: boolean } {
  const xattrs = new Map<string, Buffer>();
  let isOpaque = false;
  for (const name of listExtendedAttributes(fsPath(path)).sort()) {
    if (name === 'trusted.overlay.opaque') isOpaque = getExtendedAttribute(fsPath(path), name)?.toString() === 'y';
    else if (name === 'trusted.overlay.redirect' || name === 'trusted.overlay.metacopy') {
      throw new WherryError('unsupported', 'the layer was written by an overlay with redirected or partial files');
    } else if (name === 'security.capability' || (name.startsWith('user.') && !name.startsWith('user.overlay.'))) {
      const value = getExtendedAttribute(fsPath(path), name);
      if (value) xattrs.set(name, value);
    }
  }
  return { xattrs, isOpaque };
}

/** What disappears while a running container's folder is walked is no part of the layer. */
function vanishing<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    const code = String((error as { code?: unknown }).code);
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'ESTALE', 'notFound'].includes(code)) return undefined;
    throw error;
  }
}
