#!/usr/bin/env node
// `npm test`: sets the machine up, installs, checks, builds and passes every test. Ends with one line,
// `N passed, N failed`, summed over both suites. Arguments go to the test runner (a path, -t NAME).
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = new URL('..', import.meta.url).pathname;
const began = Date.now();

function run(title, command, ...args) {
  console.log(`test: ${title}`);
  const { status } = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    env: process.stdout.isTTY ? process.env : { ...process.env, NO_COLOR: '1' },
  });
  return status === 0;
}

function must(...step) {
  if (run(...step)) return;
  console.log('0 passed, 1 failed');
  process.exit(1);
}

must('setting the machine up', process.execPath, 'tools/setup.mjs', '--test');
const installed = join(root, 'node_modules', '.package-lock.json');
if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(join(root, 'package-lock.json')).mtimeMs)
  must('installing the libraries', 'npm', 'install', '--no-audit', '--no-fund', '--loglevel=error');
must('checking types, layers and style', 'npm', 'run', '-s', 'check');
must('building', 'npm', 'run', '-s', 'build');

const folder = mkdtempSync(join(tmpdir(), 'wherry-test-'));
let passed = 0;
let failed = 0;
let skipped = 0;
try {
  for (const suite of ['unit', 'machine']) {
    const report = join(folder, `${suite}.json`);
    const good = run(
      `the ${suite} suite`,
      'npx',
      'vitest',
      'run',
      '--project',
      suite,
      process.stdout.isTTY ? '--reporter=dot' : '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${report}`,
      '--passWithNoTests',
      ...process.argv.slice(2),
    );
    const result = existsSync(report)
      ? JSON.parse(readFileSync(report, 'utf8'))
      : { numPassedTests: 0, numFailedTests: 1, numPendingTests: 0 };
    passed += result.numPassedTests;
    failed += result.numFailedTests;
    skipped += result.numPendingTests;
    if (!good && result.numFailedTests === 0) failed++;
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(`test: took ${Math.round((Date.now() - began) / 1000)} s`);
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exit(failed === 0 ? 0 : 1);
