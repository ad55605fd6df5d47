import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { posix } from 'node:path';
import { Readable } from 'node:stream';
import { codeOf, WherryError } from '@wherry/base';
import { decompressed, type TarInput, writeTar } from '@wherry/images';
import type { ContainerFiles, ContainerView, FileTarget, OpenContainerFiles } from './container-files.ts';
import { ownerOf } from './container-owner.ts';
import { ContainerTree, type Located } from './container-tree.ts';
import { extractArchive } from './extract-archive.ts';
import { layerChanges } from './layer-changes.ts';
import { absolutePath, baseName, statPath } from './path-stat.ts';
import { type ArchiveFolder, TreeArchive, withContent } from './tree-archive.ts';

/** Works on the files of containers that `open` opens. */
export function createContainerFiles(open: OpenContainerFiles): ContainerFiles {
  const opened = async <T>(
    target: FileTarget,
    path: string,
    work: (tree: ContainerTree, view: ContainerView) => T | Promise<T>,
  ): Promise<T> => {
    await using view = await open(target.id);
    using tree = new ContainerTree(view);
    return await inWords(target, path, async () => await work(tree, view));
  };
  return {
    changes: async ({ id }) => {
      await using view = await open(id);
      return await layerChanges(view.root.upperDirectory, view.root.lowerDirectories, view.root.users);
    },
    export: async ({ id }) => {
      const view = await open(id);
      return archiveStream(rootEntries(view.root.path, new TreeArchive(view.root.users)), view);
    },
    statPath: (target, path) => opened(target, path, (tree) => statPath(tree, absolutePath(path))),
    getArchive: async (target, path) => {
      const view = await open(target.id);
      let tree: ContainerTree | undefined;
      try {
        const files = new ContainerTree(view);
        tree = files;
        return await inWords(target, path, async () => {
          const stat = statPath(files, absolutePath(path));
          return {
            stat,
            archive: archiveStream(entriesAt(files, absolutePath(path), new TreeArchive(view.root.users)), view, files),
          };
        });
      } catch (error) {
        tree?.[Symbol.dispose]();
        await view[Symbol.asyncDispose]();
        throw error;
      }
    },
    putArchive: (target, path, archive, { noOverwriteDirNonDir, copyUidGid }) =>
      opened(target, path, async (tree, view) => {
        const folder = folderAt(tree, absolutePath(path));
        tree.checkWritable(folder);
        const owner = copyUidGid ? await ownerOf(tree, view.user) : undefined;
        await extractArchive(tree, folder, decompressed(archive), {
          noOverwriteDirNonDir,
          owner,
          users: view.root.users,
        });
      }),
  };
}

/** The path, links resolved, of a folder to unpack into. */
function folderAt(tree: ContainerTree, path: string): string {
  using found = tree.locate(path, { follow: true });
  if (!found.status.isDirectory()) throw new WherryError('internal', 'extraction point is not a directory');
  return found.path;
}

async function inWords<T>({ reference }: FileTarget, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (codeOf(error) !== 'notFound') throw error;
    throw new WherryError('notFound', `Could not find the file ${path} in container ${reference}`, { cause: error });
  }
}

/** An archive that is made as it is read; what it needs is given back at its end, however that comes. */
function archiveStream(entries: AsyncIterable<TarInput>, view: ContainerView, tree?: ContainerTree): Readable {
  const stream = Readable.from(writeTar(entries), { objectMode: false });
  stream.once('close', () => {
    tree?.[Symbol.dispose]();
    void Promise.resolve(view[Symbol.asyncDispose]()).catch(() => undefined);
  });
  return stream;
}

/** The root file system without what is mounted in it. */
async function* rootEntries(root: string, archive: TreeArchive): AsyncGenerator<TarInput, void, undefined> {
  const folder = await open(root, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    yield* archive.folder(plainFolder(folder.fd), `/proc/self/fd/${folder.fd}`, '');
  } finally {
    await folder.close();
  }
}

function plainFolder(descriptor: number): ArchiveFolder {
  return { entry: (name) => `/proc/self/fd/${descriptor}/${name}`, enter: (_name, inner) => plainFolder(inner) };
}

/** A file, or a folder with what is in it, under the last name of the path (as docker's archives have it). */
async function* entriesAt(
  tree: ContainerTree,
  path: string,
  archive: TreeArchive,
): AsyncGenerator<TarInput, void, undefined> {
  using found = tree.locate(path, { follow: false });
  const name = baseName(path);
  if (!found.status.isDirectory()) {
    using parent = tree.locate(posix.dirname(path), { follow: true });
    const file = tree.entry(parent, name);
    const entry = await archive.entry(file, name);
    if (entry !== undefined) yield* withContent(entry, file);
    return;
  }
  const here = `/proc/self/fd/${found.descriptor}`;
  const entry = await archive.entry(`${here}/.`, name);
  if (entry === undefined) return;
  yield entry;
  yield* archive.folder(treeFolder(tree, found), here, name === '/' ? '/' : `${name}/`);
}

function treeFolder(tree: ContainerTree, { descriptor, path }: Pick<Located, 'descriptor' | 'path'>): ArchiveFolder {
  return {
    entry: (name) => tree.entry({ descriptor, path }, name),
    enter: (name, inner) => treeFolder(tree, { descriptor: inner, path: posix.join(path, name) }),
  };
}
