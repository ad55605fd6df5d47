import { writeSync } from 'node:fs';

/** Writes all of it and gives its length. */
export function writeAll(file: number, content: Uint8Array, position: number): number {
  for (let done = 0; done < content.length; ) {
    done += writeSync(file, content, done, content.length - done, position + done);
  }
  return content.length;
}
