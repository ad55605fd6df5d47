import {
  chmodSync,
  closeSync,
  createReadStream,
  lchownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  readSync,
  symlinkSync,
  utimesSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { posix } from 'node:path';
import { Breather, bytesOfName, codeOf, fsPath } from '@wherry/base';
import { decompressed, readTar, type TarEntry, type TarHeader } from '@wherry/images';
import { makeNode, setExtendedAttribute } from '@wherry/linux';
import { openEntry } from './content-digest.ts';
import type { Destination } from './destination.ts';
import type { SourceEntry, SourceTree } from './source-tree.ts';

/** First bytes, in hexadecimal, of compressions that ADD unpacks: gzip, bzip2, xz, zstd. */
const compressions = ['1f8b08', '425a68', 'fd377a585a00', '28b52ffd'];

/** Whether a file is an archive that ADD unpacks: a tar by its content, plain or compressed; its name does not count. */
export async function isArchive(tree: SourceTree, entry: SourceEntry): Promise<boolean> {
  const format = formatOf(tree, entry);
  if (format === undefined) return false;
  if (format === 'tar') return true;
  try {
    await using content = openContent(tree, entry);
    for await (const { header } of readTar(content.stream)) return header.name !== '';
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
  }
  return false;
}

/** Unpacks an archive into a folder of the image. Owners are the archive's, whatever `--chown` says: dockerd's rule. */
export async function unpackArchive(
  tree: SourceTree,
  entry: SourceEntry,
  destination: Destination,
  folder: string,
  options: { readonly signal?: AbortSignal | undefined },
): Promise<void> {
  await using content = openContent(tree, entry);
  const hostFolder = destination.folder(folder, { uid: 0, gid: 0 });
  const inside = `/${hostFolder.slice(destination.root.length)}`;
  const breather = new Breather(options.signal);
  const folders: [string, TarHeader][] = [];
  for await (const archived of readTar(content.stream)) {
    await place(archived, destination, inside, folders);
    await breather.rest();
  }
  for (const [path, { mtime }] of folders.reverse()) utimesSync(fsPath(path), mtime, mtime);
}

async function place(
  { header, body }: TarEntry,
  destination: Destination,
  folder: string,
  folders: [string, TarHeader][],
): Promise<void> {
  const name = safePath(header.name);
  if (name === '') return;
  const target = destination.place(`${folder}/${name}`, { uid: 0, gid: 0 });
  const isNew = destination.makeRoom(target, header.type === 'directory');
  const { uid, gid } = header;
  if (header.type === 'directory') {
    if (isNew) mkdirSync(fsPath(target));
    folders.push([target, header]);
  } else if (header.type === 'file') {
    const file = await open(fsPath(target), 'wx', 0o600);
    try {
      for await (const piece of body) await file.writeFile(piece);
    } finally {
      await file.close();
    }
  } else if (header.type === 'symlink') symlinkSync(bytesOfName(header.linkName), fsPath(target));
  else if (header.type === 'link') {
    linkSync(fsPath(destination.place(`${folder}/${safePath(header.linkName)}`, { uid: 0, gid: 0 })), fsPath(target));
    return;
  } else {
    const { type, major, minor } = header;
    makeNode(fsPath(target), { type, mode: 0o600, major, minor });
  }
  lchownSync(fsPath(target), uid, gid);
  if (header.type !== 'symlink') chmodSync(fsPath(target), header.mode);
  for (const [key, value] of header.xattrs) {
    if (/^(?:user\.|security\.capability$)/.test(key)) setExtendedAttribute(fsPath(target), key, value);
  }
  lutimesSync(fsPath(target), header.mtime, header.mtime);
}

/** Below the destination: `..` at the top is the top, as for dockerd, which unpacks within a root of its own. */
function safePath(name: string): string {
  return posix.normalize(`/${name}`).replace(/^\/+|\/+$/g, '');
}

function formatOf(tree: SourceTree, { path, type }: SourceEntry): 'tar' | 'compressed' | undefined {
  if (type !== 'file') return undefined;
  const file = openEntry(tree, path);
  const start = Buffer.alloc(512);
  try {
    readSync(file, start, 0, start.length, 0);
  } finally {
    closeSync(file);
  }
  const hex = start.toString('hex', 0, 6);
  if (compressions.some((magic) => hex.startsWith(magic))) return 'compressed';
  return isTarHeader(start) ? 'tar' : undefined;
}

function isTarHeader(block: Buffer): boolean {
  const stored = Number.parseInt(block.toString('latin1', 148, 156).replace(/[\0 ]/g, ''), 8);
  const sum = block.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0);
  return stored === sum && block[0] !== 0;
}

interface Content extends AsyncDisposable {
  readonly stream: AsyncIterable<Uint8Array>;
}

function openContent(tree: SourceTree, { path }: SourceEntry): Content {
  const raw = createReadStream('', { fd: openEntry(tree, path), highWaterMark: 256 * 1024 });
  return { stream: decompressed(raw), [Symbol.asyncDispose]: async () => void raw.destroy() };
}
