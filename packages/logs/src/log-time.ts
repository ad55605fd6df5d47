/**
 * The time that a log line begins with, in ms since the epoch with a fraction (exact to about 0.2 µs). NaN for what is
 * no time of RFC 3339.
 */
export function timeOfLine(data: Uint8Array, start: number, end: number): number {
  // 2026-01-01T00:00:00
  if (end - start < 20 || data[start + 4] !== 0x2d || data[start + 10] !== 0x54) return Number.NaN;
  const seconds = Date.UTC(
    digits(data, start, 4),
    digits(data, start + 5, 2) - 1,
    digits(data, start + 8, 2),
    digits(data, start + 11, 2),
    digits(data, start + 14, 2),
    digits(data, start + 17, 2),
  );
  let at = start + 19;
  let fraction = 0;
  if (data[at] === 0x2e) {
    let scale = 100;
    for (at++; at < end && isDigit(data[at]!); at++, scale /= 10) fraction += (data[at]! - 0x30) * scale;
  }
  return seconds + fraction - offset(data, at);
}

/** `Z`, `+00:00`, … in ms. */
function offset(data: Uint8Array, at: number): number {
  const sign = data[at] === 0x2b ? 1 : data[at] === 0x2d ? -1 : 0;
  return sign === 0 ? 0 : sign * (digits(data, at + 1, 2) * 60 + digits(data, at + 4, 2)) * 60_000;
}

function digits(data: Uint8Array, start: number, count: number): number {
  let value = 0;
  for (let at = start; at < start + count; at++) {
    if (!isDigit(data[at] ?? 0)) return Number.NaN;
    value = value * 10 + data[at]! - 0x30;
  }
  return value;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

/** Bytes of a time in UTC with nanoseconds: `2026-01-01T00:00:00.000000000Z`. */
const utcLength = 30;

/**
 * Writes the time of the line at `start` to `target`, at or before it, in UTC where it has nanoseconds, else as it
 * stands. Gives the bytes written, which are never more than the time and one tag take in the line.
 */
export function writeTime(data: Buffer, start: number, content: number, target: number): number {
  const end = data.indexOf(0x20, start);
  if (end < 0 || end >= content) return 0;
  const shift = end - start >= utcLength ? offset(data, start + 29) : Number.NaN;
  if (Number.isNaN(shift) || (data[start + 29] === 0x5a) !== (end - start === utcLength)) {
    data.copyWithin(target, start, end);
    return end - start;
  }
  if (shift === 0) data.copyWithin(target, start, start + 29);
  else {
    // Offsets are whole minutes: the fraction stays.
    const whole = new Date(Math.floor(timeOfLine(data, start, end) / 1000) * 1000);
    const fraction = data.toString('latin1', start + 19, start + 29);
    data.write(whole.toISOString().slice(0, 19) + fraction, target, 'latin1');
  }
  data[target + 29] = 0x5a;
  return utcLength;
}
