import { closeSync, openSync } from 'node:fs';
import { libc } from '../libc.ts';

const ioctlCall = libc.func('ioctl', 'int', ['int', 'unsigned long', 'void *']);

const getFlags = 0x80086601; // FS_IOC_GETFLAGS
const setFlags = 0x40086602; // FS_IOC_SETFLAGS
const topOfHierarchies = 0x00020000; // FS_TOPDIR_FL

/**
 * Says that the subfolders of a folder have nothing to do with each other, so that each one's files get a place of their
 * own on the disk (`chattr +T`; ext4's Orlov allocator). Gives whether the file system takes such advice. Without it
 * whatever is made goes where others were just removed: ext4 without a journal passes over each inode that was freed in
 * the last minutes, which makes a file cost 0.5 ms in place of 0.02.
 */
export function spreadSubfolders(folder: string): boolean {
  const file = openSync(folder, 'r');
  try {
    const flags = Buffer.alloc(8);
    if ((ioctlCall(file, getFlags, flags) as number) < 0) return false;
    flags.writeUInt32LE((flags.readUInt32LE(0) | topOfHierarchies) >>> 0, 0);
    return (ioctlCall(file, setFlags, flags) as number) === 0;
  } finally {
    closeSync(file);
  }
}
