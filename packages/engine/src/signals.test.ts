import { codeOf } from '@wherry/base';
import { expect, test } from 'vitest';
import { signalNumber } from './signals.ts';

test('signals by name, number and place among the real-time ones', () => {
  const numbers = ['SIGTERM', 'term', '15', 9, 'SIGRTMIN', 'RTMIN+3', 'SIGRTMAX', 'RTMAX-14', 64].map(signalNumber);
  expect(numbers).toEqual([15, 15, 15, 9, 34, 37, 64, 50, 64]);
});

test('what is no signal is refused', () => {
  for (const wanted of ['', '0', 0, 65, -1, 1.5, 'SIG', 'NOSUCH', 'RTMIN-1', 'RTMAX+1', 'constructor', '1e1']) {
    try {
      signalNumber(wanted);
      expect.unreachable(`${wanted} passed`);
    } catch (error) {
      expect(codeOf(error)).toBe('invalid');
    }
  }
});
