import { closeSync, constants, fchownSync, fstatSync, mkdirSync, readlinkSync } from 'node:fs';
import { codeOf, errnoOf, WherryError } from '@wherry/base';
import { openBeneath } from '@wherry/linux';

const folderFlags = constants.O_RDONLY | constants.O_DIRECTORY;
const pathOnly = 0o10000000; // O_PATH
/** MAXSYMLINKS of the kernel. */
const mostLinks = 40;

/**
 * Makes a folder and those above it beneath `root`, following links no further than `root` itself; what is made has the
 * owner of `root`. Throws `invalid` in docker's words, without the host's path, where something else stands in the way.
 */
export function makeFolderBeneath(root: string, path: string, links = mostLinks): void {
  let done = '.';
  for (const part of partsOf(path)) {
    const next = `${done}/${part}`;
    try {
      closeSync(openBeneath(root, next, { flags: folderFlags }));
    } catch (error) {
      const refusal = new WherryError('invalid', `Cannot mkdir: ${path} is not a directory`, { cause: error });
      if (codeOf(error) !== 'notFound') throw refusal;
      const target = makeFolder(root, done, part);
      if (target !== undefined && links === 0) throw refusal;
      // What a link leads to is made where it is missing.
      if (target !== undefined)
        makeFolderBeneath(root, target.startsWith('/') ? target : `${done}/${target}`, links - 1);
    }
    done = next;
  }
}

/** Makes a folder in another; gives the target of a link that is there, which leads nowhere. */
function makeFolder(root: string, parent: string, name: string): string | undefined {
  const folder = openBeneath(root, parent, { flags: folderFlags });
  try {
    mkdirSync(`/proc/self/fd/${folder}/${name}`, 0o755);
    giveToOwnerOf(root, openBeneath(folder, name, { flags: folderFlags }));
    return undefined;
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
    return readlinkSync(`/proc/self/fd/${folder}/${name}`);
  } finally {
    closeSync(folder);
  }
}

/** Makes an empty file, and the folders above it, as `makeFolderBeneath` does, unless something is there. */
export function makeFileBeneath(root: string, path: string): void {
  const parts = partsOf(path);
  const whole = parts.join('/');
  try {
    closeSync(openBeneath(root, whole, { flags: pathOnly }));
  } catch (error) {
    if (codeOf(error) !== 'notFound') throw error;
    makeFolderBeneath(root, parts.slice(0, -1).join('/'));
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
    giveToOwnerOf(root, openBeneath(root, whole, { flags, mode: 0o755 }));
  }
}

const partsOf = (path: string): string[] => path.split('/').filter((name) => name !== '' && name !== '.');

/** Closes the descriptor. */
function giveToOwnerOf(root: string, descriptor: number): void {
  const folder = openBeneath(root, '.', { flags: pathOnly });
  try {
    const { uid, gid } = fstatSync(folder);
    if (uid !== 0 || gid !== 0) fchownSync(descriptor, uid, gid);
  } finally {
    closeSync(folder);
    closeSync(descriptor);
  }
}
