import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * What differs between two recordings of one engine: where its folders are, when it was recorded, how fast it was.
 * The script that compares the transcripts knows ids, addresses and sizes by itself.
 */
const rules: readonly (readonly [RegExp, string])[] = [
  [/\/tmp\/wherry-machine-\w+\/golden\/g(w|home)\b/g, '/tmp/g$1'],
  [/\/tmp\/wherry-machine-\w+\/root\b|\/var\/lib\/docker\b/g, 'ROOT'],
  [/--since \d{10} --until \d{10}/g, '--since S --until U'],
  [/Less than a second ago|About a minute ago|\d+ (?:second|minute|hour|week|month|year)s? ago/g, 'AGO ago'],
  [/\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) {1,2}\d{1,2} {1,2}(?:\d\d:\d\d|\d{4})\b/g, 'DATE'],
  [/^(1> Date: ).*$/gm, '$1NOW'],
  [/"time":\d{10},/g, '"time":N,'],
  [/"Pid": \d+/g, '"Pid": N'],
  [/(digest: sha256:[0-9a-f]{64} size: |"size": )\d+/g, '$1N'],
];

/** Copies a folder's transcripts into another without what the rules name. */
export async function levelTranscripts(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const name of (await readdir(from)).filter((file) => /^\d\d-.*\.txt$/.test(file))) {
    const text = await readFile(join(from, name), 'utf8');
    const level = rules.reduce((lines, [pattern, replacement]) => lines.replace(pattern, replacement), text);
    await writeFile(join(to, name), level);
  }
}
