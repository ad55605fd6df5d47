import { describe, expect, it } from 'vitest';
import { scaledValue } from './int-or-string.ts';
import { canonicalMicroTime, canonicalTime, microTimeText, timeOf, timeText } from './time.ts';

describe('int or percent', () => {
  it('scales percentages and keeps numbers', () => {
    expect(scaledValue(3, 10, true)).toBe(3);
    expect(scaledValue('25%', 10, true)).toBe(3);
    expect(scaledValue('25%', 10, false)).toBe(2);
    expect(() => scaledValue('25', 10, false)).toThrow(expect.objectContaining({ code: 'invalid' }));
  });
});

describe('times', () => {
  it('writes UTC with whole seconds', () => {
    expect(canonicalTime('2026-11-22T10:00:00Z')).toBe('2026-11-22T10:00:00Z');
    expect(canonicalTime('2026-11-22T10:00:00.987+02:00')).toBe('2026-11-22T08:00:00Z');
    expect(canonicalTime('2024-02-29T00:00:00Z')).toBe('2024-02-29T00:00:00Z');
    expect(canonicalTime('0001-01-01T00:00:00Z')).toBe('0001-01-01T00:00:00Z');
    expect(canonicalMicroTime('2026-11-22T10:00:00.123456789Z')).toBe('2026-11-22T10:00:00.123456Z');
    expect(timeText(1_700_000_000_999)).toBe('2023-11-14T22:13:20Z');
    expect(microTimeText(1_700_000_000_999)).toBe('2023-11-14T22:13:20.999000Z');
    expect(timeOf('2023-11-14T22:13:20.999000Z')).toBe(1_700_000_000_999);
  });

  it.each([
    ['yesterday', 'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006"'],
    ['2026-13-01T00:00:00Z', 'month out of range'],
    ['2026-02-29T00:00:00Z', 'day out of range'],
    ['2026-01-01T25:00:00Z', 'hour out of range'],
  ])('refuses %s', (text, message) => {
    expect(() => canonicalTime(text)).toThrow(message);
  });
});
