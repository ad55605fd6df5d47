import { describe, expect, it } from 'vitest';
import {
  addQuantity,
  canonicalQuantity,
  compareQuantity,
  formatQuantity,
  isQuantity,
  parseQuantity,
  quantityMilliValue,
  quantityValue,
  subtractQuantity,
} from './quantity.ts';

const canonical: readonly (readonly [string, string])[] = [
  ['0', '0'],
  ['0n', '0'],
  ['0Ki', '0'],
  ['1', '1'],
  ['1000m', '1'],
  ['100m', '100m'],
  ['0.1', '100m'],
  ['1500m', '1500m'],
  ['1.5', '1500m'],
  ['.5', '500m'],
  ['1.', '1'],
  ['+5', '5'],
  ['-1000m', '-1'],
  ['1000', '1k'],
  ['1024', '1024'],
  ['1024Ki', '1Mi'],
  ['1.5Gi', '1536Mi'],
  ['1.5Ki', '1536'],
  ['0.5Gi', '512Mi'],
  ['0.5Ki', '512'],
  ['1000Mi', '1000Mi'],
  ['1e3', '1e3'],
  ['1e4', '10e3'],
  ['1E3', '1e3'],
  ['1e-1', '100e-3'],
  ['1E', '1E'],
  ['12e0', '12'],
  ['0.1n', '1n'],
  ['-0.1n', '-1n'],
  ['1.0005Ki', '1025'],
  ['100000000000000000000', '9223372036854775807'],
  ['1e1000000', '9223372036854775807'],
  ['1e-1000000', '1e-9'],
  ['123456789u', '123456789u'],
];

describe('canonical quantities', () => {
  it.each(canonical)('%s is %s', (text, expected) => {
    expect(canonicalQuantity(text)).toBe(expected);
  });

  it('takes numbers', () => {
    expect(canonicalQuantity(2)).toBe('2');
    expect(canonicalQuantity(0.25)).toBe('250m');
  });

  it('is a fixed point and keeps the amount, for every suffix', () => {
    for (const suffix of ['', 'n', 'u', 'm', 'k', 'M', 'G', 'T', 'Ki', 'Mi', 'Gi', 'Ti', 'e2', 'e-4', 'E1']) {
      for (const number of ['1', '7', '10', '999', '1000', '1024', '1536', '4096.5', '0.001', '-3', '-2048']) {
        const text = canonicalQuantity(number + suffix);
        expect(canonicalQuantity(text)).toBe(text);
        // Only a binary amount with a fraction of a unit is rounded.
        const lost = parseQuantity(text).nano - parseQuantity(number + suffix).nano;
        if (!suffix.endsWith('i')) expect(lost).toBe(0n);
        else expect(lost < 1_000_000_000n).toBe(true);
      }
    }
  });
});

describe('refused quantities', () => {
  it.each(['', '+', '-', 'abc', '1.2.3', '1mi', '0x10', '1+1', '1e', '1e1.5', 'Infinity', '1'.repeat(1000)])(
    '%j',
    (text) => {
      expect(isQuantity(text)).toBe(false);
      expect(() => parseQuantity(text)).toThrow(expect.objectContaining({ code: 'invalid' }));
    },
  );

  it('words the failure as upstream does', () => {
    expect(() => parseQuantity('abc')).toThrow(
      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    );
    expect(() => parseQuantity('.')).toThrow('unable to parse numeric part of quantity');
  });
});

describe('arithmetic', () => {
  it('is exact', () => {
    expect(formatQuantity(addQuantity('100m', '0.2'))).toBe('300m');
    expect(formatQuantity(addQuantity('0', '1Gi'))).toBe('1Gi');
    expect(formatQuantity(subtractQuantity('1Gi', '512Mi'))).toBe('512Mi');
    expect(compareQuantity('1Gi', '1G')).toBe(1);
    expect(compareQuantity('1000m', 1)).toBe(0);
    expect(compareQuantity('1m', '1')).toBe(-1);
  });

  it('rounds values away from zero', () => {
    expect(quantityValue('1500m')).toBe(2);
    expect(quantityValue('-1500m')).toBe(-2);
    expect(quantityMilliValue('100u')).toBe(1);
    expect(quantityValue('2Gi')).toBe(2 ** 31);
  });
});
