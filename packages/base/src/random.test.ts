import { describe, expect, it } from 'vitest';
import { systemRandom } from './random.ts';

describe('randomness', () => {
  it('has the length that is asked for, and is never the same', () => {
    const found = new Set<string>();
    for (let round = 0; round < 500; round++) {
      for (const length of [11, 12, 64, 5000]) {
        const hex = systemRandom.hex(length);
        expect(hex).toMatch(/^[0-9a-f]+$/);
        expect(hex.length).toBe(length);
        // No part of what was given comes again, either.
        for (let at = 0; at + 11 <= length && at < 55; at += 11) found.add(hex.slice(at, at + 11));
      }
    }
    expect(found.size).toBe(500 * (1 + 1 + 5 + 5));
  });

  it('has names of the alphabet of Kubernetes, each letter as often as another', () => {
    const counts = new Map<string, number>();
    for (let round = 0; round < 2000; round++) {
      const suffix = systemRandom.suffix(27);
      expect(suffix).toMatch(/^[bcdfghjklmnpqrstvwxz2456789]{27}$/);
      for (const letter of suffix) counts.set(letter, (counts.get(letter) ?? 0) + 1);
    }
    expect(counts.size).toBe(27);
    for (const count of counts.values()) expect(Math.abs(count - 2000)).toBeLessThan(300);
  });
});
