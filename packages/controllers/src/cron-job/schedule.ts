import { WherryError } from '@wherry/base';

/** When something is due: the five fields of crontab(5), in a time zone. */
export interface Schedule {
  /** The first due time after `ms` (exclusive), ms since the epoch; `undefined` when there is none in five years. */
  nextAfter(ms: number): number | undefined;
}

const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const days = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const macros: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
};

interface Field {
  readonly values: readonly number[];
  readonly any: boolean;
}

function parseField(text: string, least: number, most: number, names: readonly string[] = []): Field {
  const fail = (): never => {
    throw new WherryError('invalid', `cannot read ${JSON.stringify(text)} in a schedule`);
  };
  const number = (part: string): number => {
    const named = names.indexOf(part.toLowerCase());
    if (named >= 0) return named + (names === months ? 1 : 0);
    return /^\d{1,2}$/.test(part) ? Number(part) : fail();
  };
  const values = new Set<number>();
  for (const part of text.split(',')) {
    const [range = '', step, ...more] = part.split('/');
    if (more.length > 0 || (step !== undefined && !/^[1-9]\d?$/.test(step))) fail();
    const whole = range === '*' || range === '?';
    const [from, to, ...rest] = whole ? [least, most] : range.split('-').map(number);
    if (from === undefined || rest.length > 0) fail();
    const end = to ?? (step === undefined ? from! : most);
    if (from! < least || end > most || from! > end) fail();
    for (let value = from!; value <= end; value += Number(step ?? 1)) values.add(value);
  }
  return { values: [...values].sort((a, b) => a - b), any: /^[*?]/.test(text) };
}

/** Parses `*&#47;5 * * * *`, names, ranges, steps and `@daily`. Error `invalid`. `timeZone`: IANA name, default UTC. */
export function parseSchedule(text: string, timeZone = 'UTC'): Schedule {
  const fields = (macros[text.trim()] ?? text).trim().split(/\s+/);
  if (fields.length !== 5) throw new WherryError('invalid', `a schedule has 5 fields, not ${fields.length}: ${text}`);
  const minutes = parseField(fields[0]!, 0, 59);
  const hours = parseField(fields[1]!, 0, 23);
  const monthDays = parseField(fields[2]!, 1, 31);
  const monthField = parseField(fields[3]!, 1, 12, months);
  const weekDays = parseField(fields[4]!, 0, 7, days);
  const dayMatches = (date: Date): boolean => {
    const week = weekDays.values.some((day) => day % 7 === date.getUTCDay());
    const month = monthDays.values.includes(date.getUTCDate());
    // crontab(5): when both are restricted, either will do.
    return monthDays.any || weekDays.any ? week && month : week || month;
  };
  const offsetAt = zoneOffset(timeZone);
  return {
    nextAfter(ms) {
      const local = new Date(ms + offsetAt(ms));
      for (let day = 0; day < 5 * 366; day++) {
        const date = new Date(Date.UTC(local.getUTCFullYear(), local.getUTCMonth(), local.getUTCDate() + day));
        if (!monthField.values.includes(date.getUTCMonth() + 1) || !dayMatches(date)) continue;
        for (const hour of hours.values)
          for (const minute of minutes.values) {
            const wall = date.getTime() + (hour * 60 + minute) * 60_000;
            const time = fromWall(wall, offsetAt);
            if (time !== undefined && time > ms) return time;
          }
      }
      return undefined;
    },
  };
}

/** The instant of a wall-clock time, the earlier of two; `undefined` where the clock jumps over it. */
function fromWall(wall: number, offsetAt: (ms: number) => number): number | undefined {
  const hour = 3_600_000;
  const candidates = [offsetAt(wall - 24 * hour), offsetAt(wall + 24 * hour)].map((offset) => wall - offset);
  return candidates.sort((a, b) => a - b).find((ms) => ms + offsetAt(ms) === wall);
}

function zoneOffset(timeZone: string): (ms: number) => number {
  if (timeZone === 'UTC' || timeZone === 'Etc/UTC') return () => 0;
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
  } catch (error) {
    throw new WherryError('invalid', `unknown time zone ${timeZone}`, { cause: error });
  }
  return (ms) => {
    const parts = Object.fromEntries(format.formatToParts(ms).map(({ type, value }) => [type, Number(value)]));
    const { year, month, day, hour, minute, second } = parts as Record<string, number>;
    return Date.UTC(year!, month! - 1, day, hour, minute, second) - Math.floor(ms / 1000) * 1000;
  };
}
