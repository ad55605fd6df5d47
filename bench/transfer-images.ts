import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { TarInput } from '@wherry/images';
import type { TestImage } from '@wherry/testkit';

const megabyte = 1024 * 1024;

/** Layers of made-up files. */
export function madeUpImage(layers: number, megabytes: number): TestImage {
  return {
    config: {},
    layers: Array.from({ length: layers }, (_, n) => ({ entries: madeUpFiles(`layer${n}`, megabytes * megabyte) })),
  };
}

/** As distributions have them: half in files of 5 to 20 kB, half in large ones; half of each compressible. */
function* madeUpFiles(folder: string, size: number): Generator<TarInput> {
  const file = (name: string, half: number): TarInput => {
    const content = Buffer.concat([randomBytes(half), Buffer.alloc(half, 'some text ')]);
    return { name: `${folder}/${name}`, type: 'file', mode: 0o644, content };
  };
  for (let n = 0; n < 5; n++) yield file(`lib${n}`, size / 20);
  for (let n = 0, written = 0; written < size / 2; n++) {
    const half = 2500 + ((n * 977) % 7500);
    written += 2 * half;
    yield file(`part${n % 40}/f${n}`, half);
  }
}

/** Layers of one file each that does not shrink. */
export function noiseImage(layers: number, megabytes: number): TestImage {
  return {
    config: {},
    layers: Array.from({ length: layers }, (_, n) => ({
      entries: [{ name: `noise${n}`, type: 'file', mode: 0o644, content: randomBytes(megabytes * megabyte) }],
    })),
  };
}

/** A layer of this machine's programs and one of its libraries: the first of them, by their paths. */
export function realImage(megabytes: number): TestImage {
  return {
    config: {},
    layers: ['/usr/bin', '/usr/lib'].map((root) => ({ entries: realFiles(root, (megabytes * megabyte) / 2) })),
  };
}

/** Files of programs' size beneath a folder, until there are so many bytes of them. */
function* realFiles(root: string, size: number): Generator<TarInput> {
  let written = 0;
  for (const path of filesBeneath(root)) {
    const { mode, mtimeMs, size: own } = statSync(path);
    if (own < megabyte / 16 || written + own > size) continue;
    written += own;
    const mtime = Math.floor(mtimeMs / 1000);
    yield { name: path.slice(1), type: 'file', mode: mode & 0o7777, mtime, content: readFileSync(path) };
  }
}

function* filesBeneath(folder: string): Generator<string> {
  const entries = readdirSync(folder, { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesBeneath(path);
    else if (entry.isFile()) yield path;
  }
}
