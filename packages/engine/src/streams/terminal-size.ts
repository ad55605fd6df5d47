import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { errnoOf } from '@wherry/base';
import { numbersOfDevice, openBeneath, resizeTerminal, type WindowSize } from '@wherry/linux';
import { control } from './attach.ts';

/** Unix98 slaves (devices.txt). */
const isTerminal = (major: number): boolean => major >= 136 && major <= 143;

/**
 * Sets the size of a container's terminal, at the terminal itself: at once, and without a SIGWINCH where nothing
 * changes. conmon, which has the other end, sends one each time, as it leaves the size in pixels to chance; it is asked
 * where something else stands at `/dev/console`. Throws `conflict` when the container does not run.
 */
export function setTerminalSize(bundle: string, pid: number | undefined, size: WindowSize): void {
  const terminal = pid === undefined ? undefined : openTerminalOf(pid);
  if (terminal === undefined) {
    control(bundle, `1 ${size.height} ${size.width}\n`);
    return;
  }
  try {
    resizeTerminal(terminal, size);
  } finally {
    closeSync(terminal);
  }
}

/** Looks before it opens: to open another device may do something. */
function openTerminalOf(pid: number): number | undefined {
  let found: number;
  try {
    found = openBeneath(`/proc/${pid}/root`, 'dev/console', { flags: pathOnly });
  } catch {
    // It has ended, or has no such file.
    return undefined;
  }
  try {
    const status = fstatSync(found);
    if (!status.isCharacterDevice() || !isTerminal(numbersOfDevice(status.rdev).major)) return undefined;
    return openSync(`/proc/self/fd/${found}`, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
  } catch (error) {
    // The other end is closed.
    if (errnoOf(error) === 'EIO') return undefined;
    throw error;
  } finally {
    closeSync(found);
  }
}

const pathOnly = 0o10000000; // O_PATH
