#!/usr/bin/env node
// Checks that imports between packages point down only (ARCHITECTURE.md, "Layers").
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { layers, sideways } from './packages.mjs';

const root = new URL('..', import.meta.url).pathname;

function* sources(dir) {
  for (const name of readdirSync(dir)) {
    if (name === 'node_modules' || name === 'dist' || name === 'generated') continue;
    const path = join(dir, name);
    if (statSync(path).isDirectory()) yield* sources(path);
    else if (/\.(ts|mts|tsx)$/.test(name)) yield path;
  }
}

const problems = [];
for (const group of ['packages', 'apps']) {
  for (const name of readdirSync(join(root, group))) {
    const own = layers[name];
    if (own === undefined) {
      problems.push(`${group}/${name}: not in the list of layers (tools/packages.mjs)`);
      continue;
    }
    for (const file of sources(join(root, group, name))) {
      const test = /\.test\.ts$|\/test\//.test(file);
      const text = readFileSync(file, 'utf8');
      for (const [, target] of text.matchAll(/(?:from|import)\s*\(?\s*['"]@wherry\/([^'"]+)['"]/g)) {
        const place = relative(root, file);
        if (target.includes('/')) {
          problems.push(`${place}: imports @wherry/${target}; a package's index is its only door`);
          continue;
        }
        const other = layers[target];
        if (other === undefined) problems.push(`${place}: imports unknown package @wherry/${target}`);
        else if (target === 'testkit' && !test) problems.push(`${place}: only tests may import the testkit`);
        else if (target !== name && other >= own && !test && !(sideways[name] ?? []).includes(target))
          problems.push(`${place}: ${name} (layer ${own}) imports ${target} (layer ${other})`);
      }
      for (const [, path] of text.matchAll(/(?:from|import)\s*\(?\s*['"](\.\.?\/[^'"]+)['"]/g)) {
        const resolved = relative(join(root, group, name), join(file, '..', path));
        if (resolved.startsWith('..') && !test)
          problems.push(`${relative(root, file)}: reaches outside its package with ${path}`);
      }
    }
  }
}
for (const line of problems) console.error(line);
if (problems.length > 0) process.exit(1);
console.log('layers: imports point down only');
