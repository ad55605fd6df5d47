import type { Clock } from '@wherry/base';
import type { JsonLines } from './json-lines.ts';

/** How often a bar moves (ms). */
const interval = 100;

/** Progress lines of many things at once, each by its id. Bars that move too often for the client are left out. */
export class Progress {
  readonly #lines: JsonLines;
  readonly #clock: Clock;
  readonly #moved = new Map<string, number>();

  constructor(lines: JsonLines, clock: Clock) {
    this.#lines = lines;
    this.#clock = clock;
  }

  /** A step that begins or ends, of one thing. */
  step(id: string, status: string): void {
    this.#moved.delete(id);
    this.#lines.write({ status, progressDetail: {}, id });
  }

  /** How far a step has come; `total` may not be known. */
  bar(id: string, status: string, current: number, total: number | undefined): void {
    const now = this.#clock.now();
    const whole = total !== undefined && current >= total;
    if (!whole && (this.#lines.congested || now - (this.#moved.get(id) ?? Number.NEGATIVE_INFINITY) < interval)) return;
    this.#moved.set(id, now);
    this.#lines.write({
      status,
      progressDetail: total === undefined ? { current } : { current, total },
      progress: progressBar(current, total ?? 0),
      id,
    });
  }

  /** A line of its own. */
  say(status: string, id?: string): void {
    this.#lines.write(id === undefined ? { status } : { status, id });
  }
}

/** `[=====>          ]  35.33kB/1.986MB`, for clients that draw no bar themselves. */
export function progressBar(current: number, total: number): string {
  if (total <= 0) return humanSize(current).padStart(8);
  const done = Math.min(Math.floor((current / total) * 100 * 0.5), 50);
  const numbers = humanSize(current).padStart(8) + (current > total ? '' : `/${humanSize(total)}`);
  return `[${'='.repeat(done)}>${' '.repeat(50 - done)}] ${numbers}`;
}

const sizeUnits = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB'];

/** Four significant digits, in powers of a thousand. */
export function humanSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < sizeUnits.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${Number(value.toPrecision(4))}${sizeUnits[unit]}`;
}
