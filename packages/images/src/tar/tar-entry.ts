/** One member of a tar archive (POSIX pax, ustar, GNU long names). */
export interface TarHeader {
  /** As stored; may be absolute or hostile. Bytes that are no UTF-8 stand as `textOfName` has them. */
  readonly name: string;
  readonly type: TarType;
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** Seconds since the epoch, with a fraction where pax gives one. */
  readonly mtime: number;
  /** The fraction, exact. */
  readonly mtimeNanoseconds: number;
  readonly linkName: string;
  readonly major: number;
  readonly minor: number;
  /** From `SCHILY.xattr.*`. */
  readonly xattrs: ReadonlyMap<string, Buffer>;
}

export type TarType = 'file' | 'link' | 'symlink' | 'character' | 'block' | 'directory' | 'fifo';

export const blockSize = 512;

/** Type flags of ustar; `7` (contiguous) is a plain file by now. */
export const typeFlags: Readonly<Record<string, TarType>> = {
  '\0': 'file',
  '0': 'file',
  '7': 'file',
  // GNU's sparse files.
  S: 'file',
  '1': 'link',
  '2': 'symlink',
  '3': 'character',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
};
