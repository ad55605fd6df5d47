import { parseDuration, parseGoTime, WherryError } from '@wherry/base';

/**
 * A time in ms: an age before `now` (`24h`, `1h30m`), seconds since the epoch, or a date. Throws `invalid` in the words of
 * docker's `GetTimestamp`.
 */
export function timeOrAge(text: string, now: number): number {
  const age = text === '0' ? undefined : tryDuration(text);
  if (age !== undefined) return now - age;
  try {
    return parseGoTime(layoutOf(text), text);
  } catch (error) {
    if (text.includes('-')) throw error;
  }
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  throw new WherryError('invalid', `failed to parse value as time or duration: ${JSON.stringify(text)}`);
}

/** What a text seems to be written in: a zone, a time of day and decimals may be left out. */
function layoutOf(text: string): string {
  const dashes = text.split('-').length - 1;
  const zone = /[zZ+]/.test(text) || dashes === 3 ? 'Z07:00' : '';
  if (text.includes('.')) return `2006-01-02T15:04:05.999999999${zone}`;
  if (!text.includes('T')) return `2006-01-02${zone}`;
  // That of an offset is none of the time's.
  const colons = text.split(':').length - 1 - (zone !== '' && !/[zZ]/.test(text) ? 1 : 0);
  const time = colons <= 0 ? '15' : colons === 1 ? '15:04' : '15:04:05';
  return `2006-01-02T${time}${zone}`;
}

/** ms */
function tryDuration(text: string): number | undefined {
  try {
    return parseDuration(text) / 1e6;
  } catch {
    return undefined;
  }
}
