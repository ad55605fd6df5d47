import { expect, it } from 'vitest';
import { formatTable, printable } from './table.ts';

it('aligns columns and leaves no blanks at the ends of lines', () => {
  expect(
    formatTable(
      ['A', 'LONG', 'C'],
      [
        ['xyz', '1', ''],
        ['', '22', 'z'],
      ],
    ),
  ).toBe('A     LONG   C\nxyz   1\n      22     z');
});

it('shows what would drive the terminal instead of sending it', () => {
  expect(printable('a\u001b[31mb\u0007\u009b')).toBe('a\\x1b[31mb\\x07\\x9b');
  expect(formatTable(['A'], [['\u001b[2J']])).not.toContain('\u001b');
});
