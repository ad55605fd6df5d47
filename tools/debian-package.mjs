#!/usr/bin/env node
// Unpacks packages of a Debian suite into a folder without installing them: for clients and peers that tests and
// benchmarks drive. Nothing of the machine's own package state changes, no maintainer script runs.
// Usage: node tools/debian-package.mjs SUITE FOLDER PACKAGE [PACKAGE ...]
// Ends with 0 and FOLDER/usr/bin/… there, or with 3 where the archive cannot be reached.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const [suite, target, ...packages] = process.argv.slice(2);
if (packages.length === 0) {
  console.error('usage: node tools/debian-package.mjs SUITE FOLDER PACKAGE [PACKAGE ...]');
  process.exit(2);
}
const folder = resolve(target);
const marker = join(folder, '.packages');
const wanted = `${suite} ${packages.join(' ')}\n`;
if (existsSync(marker) && readFileSync(marker, 'utf8') === wanted) process.exit(0);

const state = `${folder}.apt`;
const run = (program, args, options = {}) => spawnSync(program, args, { encoding: 'utf8', ...options });
function must(step, { status, stderr }) {
  if (status === 0) return;
  rmSync(state, { recursive: true, force: true });
  console.error(`debian-package: ${step}: ${stderr.trim().split('\n').slice(-3).join('\n')}`);
  process.exit(3);
}

/** The mirror and the key that this machine uses already. */
function mirror() {
  const sources = [
    '/etc/apt/sources.list',
    ...readdirSync('/etc/apt/sources.list.d').map((name) => `/etc/apt/sources.list.d/${name}`),
  ];
  for (const file of sources.filter(existsSync)) {
    const found = /https?:\/\/[^\s]*\/debian(?=[\s/]|$)/.exec(readFileSync(file, 'utf8').replace(/^\s*#.*$/gm, ''));
    if (found) return found[0];
  }
  return 'http://deb.debian.org/debian';
}

rmSync(folder, { recursive: true, force: true });
for (const name of ['lists/partial', 'cache/archives/partial', 'sources.d'])
  mkdirSync(join(state, name), { recursive: true });
mkdirSync(folder, { recursive: true });
writeFileSync(join(state, 'status'), '');
writeFileSync(
  join(state, 'sources.list'),
  `deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror()} ${suite} main\n`,
);
const settings = {
  'Dir::State::lists': join(state, 'lists'),
  'Dir::State::status': join(state, 'status'),
  'Dir::Cache': join(state, 'cache'),
  'Dir::Etc::sourcelist': join(state, 'sources.list'),
  'Dir::Etc::sourceparts': join(state, 'sources.d'),
  'APT::Sandbox::User': 'root',
};
const options = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
must('apt-get update', run('apt-get', [...options, 'update', '-q']));
must('apt-get download', run('apt-get', [...options, 'download', '-q', ...packages], { cwd: state }));
for (const file of readdirSync(state).filter((name) => name.endsWith('.deb')))
  must(`unpacking ${file}`, run('dpkg-deb', ['-x', join(state, file), folder]));
rmSync(state, { recursive: true, force: true });
writeFileSync(marker, wanted);
