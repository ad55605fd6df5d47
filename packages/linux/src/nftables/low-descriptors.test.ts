import { closeSync, openSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { lowDescriptors } from './low-descriptors.ts';

let files: number[];
const open = (): number => {
  const file = openSync('/dev/null', 'r');
  files.push(file);
  return file;
};
const close = (file: number): void => {
  files.splice(files.indexOf(file), 1);
  closeSync(file);
};
/** Opens more than is lent at a time, as other threads do. */
const openMany = (): void => {
  for (let count = 0; count < 12; count++) open();
};

/** All descriptors below 1024 are taken. */
beforeEach(() => {
  files = [];
  lowDescriptors().keep();
  while (open() < 1024);
});
afterEach(() => {
  for (const file of files) closeSync(file);
});

test('what is opened has a low number, also where others were quicker with all that were free', () => {
  const refused: number[] = [];
  let attempts = 0;
  const opened = lowDescriptors().open(
    () => {
      if (attempts++ < 3) openMany();
      return open();
    },
    (file) => {
      refused.push(file);
      close(file);
    },
  );
  expect(opened).toBeLessThan(1024);
  expect(refused).toHaveLength(3);
  expect(Math.min(...refused)).toBeGreaterThanOrEqual(1024);
});

test('where there is none left it is refused, and is there again when others have closed theirs', () => {
  const openLate = (): number => {
    openMany();
    return open();
  };
  expect(() => lowDescriptors().open(openLate, close)).toThrow('all descriptors below 1024 are taken');
  for (const file of files.splice(0)) closeSync(file);
  expect(lowDescriptors().open(open, close)).toBeLessThan(1024);
});
