import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  ftruncateSync,
  lchownSync,
  openSync,
  readlinkSync,
  readSync,
  type Stats,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { fsPath, WherryError } from '@wherry/base';
import {
  getExtendedAttribute,
  listExtendedAttributes,
  makeNode,
  nextData,
  numbersOfDevice,
  setExtendedAttribute,
  setTimes,
} from '@wherry/linux';

const piece = Buffer.allocUnsafe(256 * 1024);

/** Copies a file, link or node that a lower layer has, with all that is known of it. Gives the bytes of content. */
export function copyUp(from: string, status: Stats, to: string): number {
  const [source, target] = [fsPath(from), fsPath(to)];
  let bytes = 0;
  if (status.isFile()) bytes = copyContent(source, target, status);
  else if (status.isSymbolicLink()) symlinkSync(readlinkSync(source, { encoding: 'buffer' }), target);
  else if (status.isSocket()) throw new WherryError('corrupt', `a hard link leads to the socket ${from}`);
  else {
    const type = status.isFIFO() ? 'fifo' : status.isBlockDevice() ? 'block' : 'character';
    makeNode(target, { type, mode: 0o600, ...numbersOfDevice(status.rdev) });
  }
  if (!status.isFile()) {
    lchownSync(target, status.uid, status.gid);
    if (!status.isSymbolicLink()) chmodSync(target, status.mode & 0o7777);
  }
  for (const name of listExtendedAttributes(source)) {
    if (name.startsWith('trusted.overlay.')) continue;
    const value = getExtendedAttribute(source, name);
    if (value) setExtendedAttribute(target, name, value);
  }
  setTimes(target, Math.floor(status.mtimeMs / 1000), Math.round((status.mtimeMs % 1000) * 1e6));
  return bytes;
}

function copyContent(source: string | Buffer, target: string | Buffer, { size, uid, gid, mode }: Stats): number {
  const from = openSync(source, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const to = openSync(
      target,
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
      0o600,
    );
    try {
      for (let data = nextData(from, 0); data !== undefined; data = nextData(from, data.end)) {
        for (let at = data.start; at < data.end; ) {
          const count = readSync(from, piece, 0, Math.min(piece.length, data.end - at), at);
          if (count === 0) break;
          for (let done = 0; done < count; ) done += writeSync(to, piece, done, count - done, at + done);
          at += count;
        }
      }
      ftruncateSync(to, size);
      fchownSync(to, uid, gid);
      fchmodSync(to, mode & 0o7777);
    } finally {
      closeSync(to);
    }
  } finally {
    closeSync(from);
  }
  return size;
}
