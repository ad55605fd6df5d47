import { constants } from 'node:os';
import { type ErrorCode, WherryError } from '@wherry/base';
import koffi from 'koffi';

/** The C library of the process; its functions are declared where they are used. */
export const libc = koffi.load('libc.so.6');

const names = new Map<number, string>(Object.entries(constants.errno).map(([name, number]) => [number, name]));

const codes: Record<string, ErrorCode> = {
  ENOENT: 'notFound',
  ESRCH: 'notFound',
  EEXIST: 'alreadyExists',
  EPERM: 'forbidden',
  EACCES: 'forbidden',
  EBUSY: 'conflict',
  EINVAL: 'invalid',
  ENOSPC: 'exhausted',
  EADDRINUSE: 'conflict',
  ENOSYS: 'unsupported',
  EOPNOTSUPP: 'unsupported',
};

/** `errno` of the last call through koffi on this thread, as a name (`ENOENT`). */
export function lastErrno(): string {
  const number = koffi.errno();
  return names.get(number) ?? `errno ${number}`;
}

/** The error of a failed system call: `mount /a on /b: EINVAL`. */
export function systemError(call: string, errno: string): WherryError {
  return new WherryError(codes[errno] ?? 'internal', `${call}: ${errno}`, { details: { errno } });
}

/** Throws for a negative result of a system call, else gives it back. */
export function checked(result: number, call: string): number {
  if (result < 0) throw systemError(call, lastErrno());
  return result;
}
