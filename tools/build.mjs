#!/usr/bin/env node
// Bundles the program into apps/wherry/dist: the command line with its parts loaded on demand, and the
// worker threads. Libraries with native code stay outside.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

const root = new URL('..', import.meta.url).pathname;
const outdir = join(root, 'apps', 'wherry', 'dist');
rmSync(outdir, { recursive: true, force: true });

/** Each package's src/workers/*.ts becomes dist/workers/NAME.js. */
const workers = readdirSync(join(root, 'packages'))
  .map((name) => join(root, 'packages', name, 'src', 'workers'))
  .filter((folder) => existsSync(folder))
  .flatMap((folder) =>
    readdirSync(folder)
      .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
      .map((file) => join(folder, file)),
  );

const commit = spawnSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' }).stdout?.trim() ?? '';
const result = await build({
  entryPoints: [
    { in: join(root, 'apps/wherry/src/main.ts'), out: 'wherry' },
    ...workers.map((file) => ({ in: file, out: `workers/${file.split('/').at(-1).replace(/\.ts$/, '')}` })),
  ],
  outdir,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  minifySyntax: true,
  minifyWhitespace: true,
  sourcemap: 'linked',
  sourcesContent: false,
  external: ['koffi', 'lmdb'],
  define: { __WHERRY_BUILD__: JSON.stringify({ commit, time: new Date().toISOString() }) },
  // Its ES modules, which can be loaded in part and on demand; for Node it names CommonJS ones.
  alias: { yaml: join(root, 'node_modules/yaml/browser/dist/index.js') },
  banner: {
    js: "import{createRequire as __wherryRequire}from'node:module';const require=__wherryRequire(import.meta.url);",
  },
  metafile: true,
  logLevel: 'warning',
});
const bytes = Object.values(result.metafile.outputs).reduce((sum, output) => sum + output.bytes, 0);
console.log(
  `build: ${Object.keys(result.metafile.outputs).filter((f) => f.endsWith('.js')).length} files, ${Math.round(bytes / 1024)} KiB in apps/wherry/dist`,
);
