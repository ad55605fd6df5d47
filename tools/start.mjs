#!/usr/bin/env node
// `npm start`: sets the machine up, installs, builds what changed, brings a cluster up with a demo.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const root = new URL('..', import.meta.url).pathname;

function run(command, ...args) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

/** The time of the newest file of a folder, in ms; 0 without one. */
function newest(folder, skip = new Set(['node_modules', 'dist', 'generated', '.git'])) {
  if (!existsSync(folder)) return 0;
  let latest = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (skip.has(entry.name)) continue;
    const path = join(folder, entry.name);
    latest = Math.max(latest, entry.isDirectory() ? newest(path, skip) : statSync(path).mtimeMs);
  }
  return latest;
}

run(process.execPath, 'tools/setup.mjs');
const installed = join(root, 'node_modules', '.package-lock.json');
if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(join(root, 'package-lock.json')).mtimeMs) {
  console.log('start: installing the libraries');
  run('npm', 'install', '--no-audit', '--no-fund', '--loglevel=error');
}
const built = newest(join(root, 'apps/wherry/dist'), new Set());
if (built < Math.max(newest(join(root, 'packages')), newest(join(root, 'apps')), newest(join(root, 'tools')))) {
  console.log('start: building');
  run('npm', 'run', '-s', 'build');
}
run(process.execPath, 'bin/wherry', 'up', ...process.argv.slice(2));
run(process.execPath, 'bin/wherry', 'demo', ...process.argv.slice(2));
