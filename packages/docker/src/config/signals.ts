import { constants } from 'node:os';
import { WherryError } from '@wherry/base';

/** Real-time signals of glibc: 34 to 64. */
const realTimeFirst = 34;
const realTimeLast = 64;

/**
 * The number of a signal by name (with or without `SIG`) or number. Throws `invalid signal: …` as dockerd does, which
 * takes any number but 0 here: `isSignal` knows which there are.
 */
export function parseSignal(text: string): number {
  const invalid = (): WherryError => new WherryError('invalid', `invalid signal: ${text}`);
  if (/^-?[0-9]+$/.test(text)) {
    const number = Number(text);
    if (number === 0) throw invalid();
    return number;
  }
  const name = text.toUpperCase().replace(/^SIG/, '');
  const realTime = /^RT(MIN|MAX)(?:([+-])([0-9]+))?$/.exec(name);
  if (realTime) {
    const offset = Number(realTime[3] ?? 0) * (realTime[2] === '-' ? -1 : 1);
    const number = (realTime[1] === 'MIN' ? realTimeFirst : realTimeLast) + offset;
    if (number < realTimeFirst || number > realTimeLast) throw invalid();
    return number;
  }
  const found = (constants.signals as Record<string, number>)[`SIG${name}`];
  if (found === undefined) throw invalid();
  return found;
}

/** The signal that ends a container: what its image says may be none, and SIGTERM stands for it. */
export function stopSignal(text: string | undefined): number {
  try {
    return text === undefined || text === '' ? constants.signals.SIGTERM : parseSignal(text);
  } catch {
    return constants.signals.SIGTERM;
  }
}

/** Whether a signal has this number: 32 and 33 are the C library's own. */
export function isSignal(number: number): boolean {
  return (number >= 1 && number <= 31) || (number >= realTimeFirst && number <= realTimeLast);
}

/** The signal of `docker kill`; SIGKILL for none. Throws `invalid` in dockerd's words. */
export function killSignal(text = ''): number {
  const number = text === '' ? constants.signals.SIGKILL : parseSignal(text);
  if (!isSignal(number)) throw new WherryError('invalid', `the linux daemon does not support signal ${number}`);
  return number;
}

/** `SIGTERM`, or the number where it has no name, as the engine takes it. */
export function engineSignal(number: number): string | number {
  for (const [name, value] of Object.entries(constants.signals)) if (value === number) return name;
  return number;
}
