import { WherryError } from './errors.ts';

const units: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** Nanoseconds of a duration as Go writes them: `1m30s`, `1.5h`. Throws `invalid`. */
export function parseDuration(text: string): number {
  const sign = /^[+-]/.exec(text)?.[0] ?? '';
  const rest = text.slice(sign.length);
  if (rest === '0') return 0;
  const parts = [...rest.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g)];
  if (rest === '' || parts.map(([part]) => part).join('') !== rest) {
    const missing = /^(?:\d+\.?\d*|\.\d+)$/.test(rest);
    const fault = missing ? 'missing unit in duration' : 'invalid duration';
    throw new WherryError('invalid', `time: ${fault} ${JSON.stringify(text)}`);
  }
  const total = parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * units[unit!]!, 0);
  return Math.round(sign === '-' ? -total : total);
}

/** A duration as Go prints it: `1m30s`, `500ms`, `0s`. */
export function formatDuration(nanoseconds: number): string {
  if (nanoseconds === 0) return '0s';
  if (nanoseconds < 0) return `-${formatDuration(-nanoseconds)}`;
  for (const [unit, size] of [
    ['ns', 1],
    ['µs', 1e3],
    ['ms', 1e6],
  ] as const) {
    if (nanoseconds < size * 1e3) return `${nanoseconds / size}${unit}`;
  }
  const seconds = nanoseconds / 1e9;
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  const rest = `${Number((seconds % 60).toFixed(9))}s`;
  if (hours > 0) return `${hours}h${minutes}m${rest}`;
  return minutes > 0 ? `${minutes}m${rest}` : rest;
}
