import { fsPath } from '@wherry/base';

/** A path as C takes it: text as it is (of `textOfName`, too), bytes with a zero at their end. */
export function cPath(path: string | Buffer): string | Buffer {
  const whole = typeof path === 'string' ? fsPath(path) : path;
  return typeof whole === 'string' ? whole : Buffer.concat([whole, Buffer.of(0)]);
}
