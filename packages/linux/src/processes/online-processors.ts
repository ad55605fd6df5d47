import { readFileSync } from 'node:fs';

/** The machine's processors that are switched on, by number (sysfs `devices/system/cpu/online`: `0-3,6`). */
export function onlineProcessors(): readonly number[] {
  const list = readFileSync('/sys/devices/system/cpu/online', 'utf8').trim();
  return list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}
