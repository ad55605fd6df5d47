#!/usr/bin/env node
// Checks the built product on machines that have control groups of version 2 alone, each a Debian 12 in qemu without
// a network: one with a plain init, one with a cgroup namespace as a container has it, one with systemd.
// Usage: node tools/cgroup2-check/main.mjs [plain] [nested] [systemd]
// Needs root and the packages qemu-system-x86, mmdebstrap, e2fsprogs and unzip.
import { spawn, spawnSync } from 'node:child_process';
import { createWriteStream, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { ensureMachine, packCheckout } from './machine.mjs';

const repository = new URL('../..', import.meta.url).pathname;
const inits = { plain: '/check/init', nested: '/check/init', systemd: '/sbin/init' };
// Nested virtualisation is often half there and then hangs: emulation unless asked for.
const accelerator = process.env.QEMU_ACCEL ?? 'tcg,thread=multi';
const patience = 15 * 60_000; // without hardware support a machine is some ten times slower

/** Boots one machine and resolves to whether all of its checks passed. */
function boot(mode, { kernel, initramfs, disk }, checkout, logPath) {
  const arguments_ = [
    ['-accel', accelerator, '-cpu', 'max', '-smp', '2', '-m', '3G', '-nodefaults', '-no-reboot'],
    [
      '-nic',
      'none',
      '-display',
      'none',
      '-serial',
      'stdio',
      '-monitor',
      'none',
      '-object',
      'rng-random,id=r,filename=/dev/urandom',
      '-device',
      'virtio-rng-pci,rng=r',
    ],
    ['-kernel', kernel, '-initrd', initramfs],
    [
      '-append',
      `console=ttyS0 quiet panic=-1 wherry.init=${inits[mode]} wherry.mode=${mode} systemd.show_status=false`,
    ],
    ['-drive', `file=${disk},format=raw,if=virtio,snapshot=on`],
    ['-drive', `file=${checkout},format=raw,if=virtio,readonly=on`],
  ].flat();
  const log = createWriteStream(logPath);
  const machine = spawn('qemu-system-x86_64', arguments_, { stdio: ['ignore', 'pipe', 'pipe'] });
  const timer = setTimeout(() => machine.kill('SIGKILL'), patience);
  machine.stderr.pipe(log, { end: false });
  let failed = 0;
  let done = false;
  createInterface({ input: machine.stdout }).on('line', (line) => {
    const plain = line.trimEnd();
    log.write(`${plain}\n`);
    const [, kind, words] = /^@@ (PASS|FAIL|INFO|DONE) ?(.*)$/.exec(plain) ?? [];
    if (kind === 'FAIL') failed += 1;
    if (kind === 'DONE') done = true;
    else if (kind !== undefined) console.log(`${kind} ${mode}: ${words}`);
  });
  return new Promise((resolve, reject) => {
    machine.once('error', reject);
    machine.once('close', () => {
      clearTimeout(timer);
      log.end();
      if (!done) console.log(`FAIL ${mode}: the machine ended before its checks did`);
      if (!done || failed > 0) console.log(`     its console: ${logPath}`);
      resolve(done && failed === 0);
    });
  });
}

const modes = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(inits);
for (const mode of modes)
  if (!(mode in inits)) {
    console.error(`cgroup2-check: unknown machine ${JSON.stringify(mode)}; there are ${Object.keys(inits).join(', ')}`);
    process.exit(2);
  }
const missing = ['qemu-system-x86_64', 'mmdebstrap', 'mkfs.ext4', 'unzip', 'dpkg-deb'].filter(
  (program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0,
);
if (missing.length > 0 || process.getuid() !== 0) {
  console.error(`cgroup2-check: needs root${missing.length > 0 ? ` and ${missing.join(', ')}` : ''}`);
  process.exit(2);
}
if (!existsSync(join(repository, 'apps/wherry/dist/wherry.js'))) {
  console.error('cgroup2-check: build first: npm run build');
  process.exit(2);
}
const logs = join(repository, 'node_modules/.cache/wherry/cgroup2-logs');
mkdirSync(logs, { recursive: true });
const machine = ensureMachine(join(repository, 'node_modules/.cache/wherry/cgroup2'));
const scratch = mkdtempSync(join(tmpdir(), 'wherry-cgroup2-'));
let good = true;
try {
  const checkout = join(scratch, 'checkout.tar');
  packCheckout(repository, checkout);
  for (const mode of modes) good = (await boot(mode, machine, checkout, join(logs, `${mode}.log`))) && good;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
process.exit(good ? 0 : 1);
