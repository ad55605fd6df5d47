import { WherryError } from '@wherry/base';

/** A time as the API takes it, seconds with up to nine decimals, in ns; `undefined` for none. Throws Go's words, as a failure of the server's own. */
export function parseNanoseconds(text: string): bigint | undefined {
  if (text === '') return undefined;
  const parts = /^(-?\d{1,18})(?:\.(\d+))?$/.exec(text);
  if (parts === null) {
    const [seconds = '', ...decimals] = text.split('.');
    const wrong = /^-?\d+$/.test(seconds) ? decimals.join('.') : seconds;
    throw new WherryError('internal', `strconv.ParseInt: parsing ${JSON.stringify(wrong)}: invalid syntax`);
  }
  return BigInt(parts[1]!) * 1_000_000_000n + BigInt((parts[2] ?? '').slice(0, 9).padEnd(9, '0'));
}

/** As `parseNanoseconds`, in ms. 0 is none, as dockerd takes it. */
export function parseTime(text: string): number | undefined {
  const time = parseNanoseconds(text);
  return time === undefined || time === 0n ? undefined : Number(time) / 1e6;
}

/** What Go writes for a time that never was. */
export const zeroTime = '0001-01-01T00:00:00Z';
