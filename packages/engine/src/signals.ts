import { constants } from 'node:os';
import { WherryError } from '@wherry/base';

/** glibc keeps the first two real-time signals for itself (signal(7)). */
const firstRealTime = 34;
const lastRealTime = 64;

/**
 * The number of a signal: `15`, `TERM` and `SIGTERM` are the same; real-time ones are `RTMIN`, `RTMIN+3`, `RTMAX-1`
 * or a number. Throws `invalid` for an unknown one.
 */
export function signalNumber(wanted: string | number): number {
  const text = String(wanted).toUpperCase();
  const number = /^\d{1,2}$/.test(text) ? Number(text) : namedSignal(text.replace(/^SIG/, ''));
  if (number === undefined || number < 1 || number > lastRealTime)
    throw new WherryError('invalid', `unknown signal ${JSON.stringify(String(wanted))}`);
  return number;
}

function namedSignal(name: string): number | undefined {
  const realTime = /^RT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(name);
  if (realTime === null) return constants.signals[`SIG${name}` as NodeJS.Signals];
  const [, end, sign = '+', distance = '0'] = realTime;
  const number = (end === 'MIN' ? firstRealTime : lastRealTime) + (sign === '+' ? 1 : -1) * Number(distance);
  return number >= firstRealTime && number <= lastRealTime ? number : undefined;
}

/** A stop signal as it was written, checked; SIGTERM for none. */
export function checkedSignal(wanted: string | undefined): string {
  if (wanted === undefined || wanted === '') return 'SIGTERM';
  signalNumber(wanted);
  return wanted;
}
