#!/usr/bin/env node
// Sets a Debian or Ubuntu machine up for Wherry: names what it installs, and installs only what is missing.
// Usage: node tools/setup.mjs [--test]   (--test: also what the tests drive)
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter } from 'node:path';

const folders = [...process.env.PATH.split(delimiter), '/usr/sbin', '/sbin'];
const program = (name) => folders.some((folder) => existsSync(`${folder}/${name}`));
const library = (name) =>
  ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib', '/usr/lib64', '/lib64'].some((folder) =>
    existsSync(`${folder}/${name}`),
  );

const wanted = [
  { package: 'crun', why: 'the OCI runtime that starts containers', present: program('crun') },
  { package: 'conmon', why: "each container's monitor", present: program('conmon') },
  { package: 'tini', why: 'the init of containers started with --init', present: program('tini-static') },
  { package: 'libnftables1', why: 'service and NAT rules', present: library('libnftables.so.1') },
  { package: 'libisal2', why: 'compression of layers', present: library('libisal.so.2') },
];
if (process.argv.includes('--test'))
  wanted.push(
    { package: 'busybox-static', why: 'test images', present: program('busybox') },
    { package: 'nftables', why: 'tests look at rules with nft', present: program('nft') },
    { package: 'iproute2', why: 'tests make machines in network namespaces', present: program('ip') },
    { package: 'zstd', why: 'tests compress archives', present: program('zstd') },
    { package: 'openssl', why: 'tests make certificates', present: program('openssl') },
    { package: 'curl', why: 'tests call services', present: program('curl') },
    { package: 'unzip', why: 'tests unpack the kubectl that npm ships', present: program('unzip') },
  );

const missing = wanted.filter((entry) => !entry.present);
if (missing.length === 0) {
  console.log('setup: this machine has all that Wherry needs');
  process.exit(0);
}
for (const entry of missing) console.log(`setup: installing ${entry.package} (${entry.why})`);
if (!program('apt-get')) {
  console.error(
    `setup: no apt-get here; install these with your package manager: ${missing.map((entry) => entry.package).join(' ')}`,
  );
  process.exit(1);
}
if (process.getuid() !== 0) {
  console.error(
    `setup: run as root, or first: sudo apt-get install -y ${missing.map((entry) => entry.package).join(' ')}`,
  );
  process.exit(1);
}
const apt = (errors, ...args) =>
  spawnSync('apt-get', args, {
    stdio: ['ignore', 'ignore', errors],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  }).status === 0;
const install = (errors) =>
  apt(errors, 'install', '-y', '-q', '--no-install-recommends', ...missing.map((entry) => entry.package));
// A fresh machine has no package lists: the first try may fail for that alone.
if (!install('ignore') && !(apt('inherit', 'update', '-q') && install('inherit'))) {
  console.error(`setup: apt-get could not install ${missing.map((entry) => entry.package).join(' ')}`);
  process.exit(1);
}
