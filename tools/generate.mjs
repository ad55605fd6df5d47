#!/usr/bin/env node
// Generates what derives from pinned dependencies (packages/*/generated, never committed), when
// the inputs changed: every tools/generate-*.mjs of a package, keyed by its text and the lock file.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const root = new URL('..', import.meta.url).pathname;
const force = process.argv.includes('--force');
for (const name of readdirSync(join(root, 'packages'))) {
  const tools = join(root, 'packages', name, 'tools');
  if (!existsSync(tools)) continue;
  const scripts = readdirSync(tools).sort();
  const hash = createHash('sha256').update(readFileSync(join(root, 'package-lock.json')));
  for (const script of scripts) hash.update(script).update(readFileSync(join(tools, script)));
  const key = hash.digest('hex');
  const stamp = join(root, 'packages', name, 'generated', '.stamp');
  if (!force && existsSync(stamp) && readFileSync(stamp, 'utf8') === key) continue;
  for (const script of scripts) {
    if (!script.startsWith('generate-')) continue;
    console.log(`generate: packages/${name}/tools/${script}`);
    await import(pathToFileURL(join(tools, script)).href);
  }
  mkdirSync(join(root, 'packages', name, 'generated'), { recursive: true });
  writeFileSync(stamp, key);
}
