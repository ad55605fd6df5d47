import { WherryError } from './errors.ts';

/** One part of a layout of Go's `time.Parse`: a field, or text that stands as it is. */
interface Part {
  readonly text: string;
  readonly isField: boolean;
}

const fieldPattern = /2006|01|02|15|04|05|\.999999999|Z07:00/g;

/**
 * Reads a time by one of Go's layouts, of the fields `2006-01-02T15:04:05.999999999Z07:00`; without a zone it is in UTC.
 * Gives ms since the epoch. Throws `invalid` in Go's words.
 */
export function parseGoTime(layout: string, value: string): number {
  const fields = new Fields(layout, value);
  for (const part of partsOf(layout)) {
    if (part.isField) fields.read(part.text);
    else fields.skip(part.text);
  }
  return fields.finish();
}

function partsOf(layout: string): Part[] {
  const parts: Part[] = [];
  let at = 0;
  for (const { 0: text, index } of layout.matchAll(fieldPattern)) {
    if (index > at) parts.push({ text: layout.slice(at, index), isField: false });
    parts.push({ text, isField: true });
    at = index + text.length;
  }
  if (at < layout.length) parts.push({ text: layout.slice(at), isField: false });
  return parts;
}

/** What has been read of a time, and what is left of its text. */
class Fields {
  readonly #layout: string;
  readonly #value: string;
  #rest: string;
  readonly #numbers: Record<string, number> = { '2006': 1, '01': 1, '02': 1, '15': 0, '04': 0, '05': 0 };
  #fraction = 0;
  #offset = 0;

  constructor(layout: string, value: string) {
    this.#layout = layout;
    this.#value = value;
    this.#rest = value;
  }

  skip(text: string): void {
    for (const character of text) {
      if (!this.#rest.startsWith(character)) throw this.#mismatch(text);
      this.#rest = this.#rest.slice(character.length);
    }
  }

  read(field: string): void {
    switch (field) {
      case '2006':
        this.#number(field, /^\d{4}/);
        break;
      case '01':
        this.#number(field, /^\d\d/, 'month', (month) => month >= 1 && month <= 12);
        break;
      case '02':
        this.#number(field, /^\d\d/);
        break;
      case '15':
        this.#number(field, /^\d\d?/, 'hour', (hour) => hour < 24);
        break;
      case '04':
        this.#number(field, /^\d\d/, 'minute', (minute) => minute < 60);
        break;
      case '05':
        this.#number(field, /^\d\d/, 'second', (second) => second < 60);
        this.#decimals();
        break;
      case '.999999999':
        this.#decimals();
        break;
      default:
        this.#zone(field);
    }
  }

  finish(): number {
    if (this.#rest !== '') throw this.#fault(`extra text: ${JSON.stringify(this.#rest)}`);
    const { '2006': year, '01': month, '02': day, '15': hour, '04': minute, '05': second } = this.#numbers;
    const date = new Date(0);
    date.setUTCFullYear(year!, month! - 1, day!);
    if (day! < 1 || date.getUTCDate() !== day) throw this.#fault('day out of range');
    date.setUTCHours(hour!, minute!, second!);
    return date.getTime() + this.#fraction - this.#offset;
  }

  #number(field: string, pattern: RegExp, name = '', isWithin: (value: number) => boolean = () => true): void {
    const digits = pattern.exec(this.#rest)?.[0];
    if (digits === undefined) throw this.#mismatch(field);
    this.#rest = this.#rest.slice(digits.length);
    const number = Number(digits);
    if (!isWithin(number)) throw this.#fault(`${name} out of range`);
    this.#numbers[field] = number;
  }

  /** After seconds they may stand although the layout has none. */
  #decimals(): void {
    const digits = /^[.,]\d+/.exec(this.#rest)?.[0];
    if (digits === undefined) return;
    this.#rest = this.#rest.slice(digits.length);
    this.#fraction = Number(`0.${digits.slice(1)}`) * 1000;
  }

  #zone(field: string): void {
    if (this.#rest.startsWith('Z')) {
      this.#rest = this.#rest.slice(1);
      return;
    }
    const [zone, sign, hours, minutes] = /^([+-])(\d\d):(\d\d)/.exec(this.#rest) ?? [];
    if (zone === undefined) throw this.#mismatch(field);
    this.#rest = this.#rest.slice(zone.length);
    const offset = (Number(hours) * 60 + Number(minutes)) * 60_000;
    this.#offset = sign === '-' ? -offset : offset;
  }

  #mismatch(part: string): WherryError {
    const [value, layout, rest, element] = [this.#value, this.#layout, this.#rest, part].map((text) =>
      JSON.stringify(text),
    );
    return new WherryError('invalid', `parsing time ${value} as ${layout}: cannot parse ${rest} as ${element}`);
  }

  #fault(words: string): WherryError {
    return new WherryError('invalid', `parsing time ${JSON.stringify(this.#value)}: ${words}`);
  }
}

/** RFC 3339 as Go writes it (`RFC3339Nano`): with as many digits of a second as are needed. Takes ms since the epoch. */
export function rfc3339(ms: number): string {
  return asGoWrites(new Date(ms).toISOString());
}

/** A time in RFC 3339, as Go writes one that it has read: without zeros that say nothing. */
export function asGoWrites(time: string): string {
  const fraction = /\.(\d*?)0*(?=(?:Z|[+-]\d\d:\d\d)$)/;
  return time.replace(fraction, (_, digits: string) => digits && `.${digits}`).replace(/[+-]00:00$/, 'Z');
}
