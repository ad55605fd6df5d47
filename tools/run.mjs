#!/usr/bin/env node
// Runs a TypeScript program of the workspace: node tools/run.mjs FILE [ARG ...]
import { mkdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const root = new URL('..', import.meta.url).pathname;
const [file, ...args] = process.argv.slice(2);
if (!file) {
  console.error('usage: node tools/run.mjs FILE [ARG ...]');
  process.exit(2);
}
const folder = join(root, 'node_modules', '.cache', 'wherry', 'run');
mkdirSync(folder, { recursive: true });
const outfile = join(folder, `${basename(file)}.${process.pid}.mjs`);
await build({
  entryPoints: [resolve(file)],
  outfile,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  external: ['koffi', 'lmdb', '@aws-cdk/*', 'dockerode', 'testcontainers'],
  define: { 'import.meta.url': JSON.stringify(pathToFileURL(join(root, 'packages', 'testkit', 'src', 'run.ts')).href) },
  banner: {
    js: "import{createRequire as __wherryRequire}from'node:module';const require=__wherryRequire(import.meta.url);",
  },
  logLevel: 'warning',
});
process.argv = [process.argv[0], resolve(file), ...args];
process.once('exit', () =>
  import('node:fs').then(({ rmSync }) => rmSync(outfile, { force: true })).catch(() => undefined),
);
await import(pathToFileURL(outfile).href);
