import { closeSync, constants, openSync } from 'node:fs';
import { WherryError } from '@wherry/base';
import { checked, libc } from '../libc.ts';

// The numbers are the same on every architecture.
const openTreeNumber = 428;
const moveMountNumber = 429;
const mountSetattrNumber = 442;
const openTree = libc.func('syscall', 'long', ['long', 'int', 'const char *', 'uint']);
const moveMount = libc.func('syscall', 'long', ['long', 'int', 'const char *', 'int', 'const char *', 'uint']);
const mountSetattr = libc.func('syscall', 'long', ['long', 'int', 'const char *', 'uint', 'void *', 'size_t']);

const currentFolder = -100; // AT_FDCWD
const emptyPath = 0x1000; // AT_EMPTY_PATH
const cloneTree = 0o2000001; // OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
const fromEmptyPath = 4; // MOVE_MOUNT_F_EMPTY_PATH
const idmapAttribute = 0x00100000n; // MOUNT_ATTR_IDMAP

/**
 * Makes the folder `source` visible at `target` with owners as the user namespace at `users` maps them: what belongs
 * to user 0 on the disk belongs to the namespace's user 0 there (mount_setattr(2), Linux ≥ 5.12). Throws
 * `unsupported` where the kernel or the file system cannot.
 */
export function bindMountMapped(source: string, target: string, users: string): void {
  const tree = checked(Number(openTree(openTreeNumber, currentFolder, source, cloneTree)), `open_tree ${source}`);
  try {
    const namespace = openSync(users, constants.O_RDONLY);
    try {
      const attributes = Buffer.alloc(32); // struct mount_attr: attr_set, attr_clr, propagation, userns_fd
      attributes.writeBigUInt64LE(idmapAttribute, 0);
      attributes.writeBigUInt64LE(BigInt(namespace), 24);
      setAttributes(tree, attributes, source);
    } finally {
      closeSync(namespace);
    }
    checked(
      Number(moveMount(moveMountNumber, tree, '', currentFolder, target, fromEmptyPath)),
      `move_mount ${source} to ${target}`,
    );
  } finally {
    closeSync(tree);
  }
}

function setAttributes(tree: number, attributes: Buffer, source: string): void {
  try {
    checked(
      Number(mountSetattr(mountSetattrNumber, tree, '', emptyPath, attributes, attributes.length)),
      `map the owners of ${source}`,
    );
  } catch (error) {
    throw new WherryError('unsupported', `the owners of ${source} cannot be mapped here`, { cause: error });
  }
}
