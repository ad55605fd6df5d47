#!/usr/bin/env node
// `npm test`: sets the machine up, installs, checks, builds and passes every test. Ends with one line,
// `N passed, N failed`, summed over both suites, below the names and messages of what failed. Arguments go to the test
// runner (a path, -t NAME).
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = new URL('..', import.meta.url).pathname;
const began = Date.now();

function run(title, env, command, ...args) {
  console.log(`test: ${title}`);
  const { status } = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...(process.stdout.isTTY ? {} : { NO_COLOR: '1' }), ...env },
  });
  return status === 0;
}

function must(title, ...command) {
  if (run(title, {}, ...command)) return;
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
const failures = [];
try {
  for (const suite of ['unit', 'machine']) {
    const report = join(folder, `${suite}.json`);
    const good = run(
      `the ${suite} suite`,
      { WHERRY_TEST_REPORT: report },
      'npx',
      'vitest',
      'run',
      '--project',
      suite,
      '--passWithNoTests',
      ...process.argv.slice(2),
    );
    const result = existsSync(report)
      ? JSON.parse(readFileSync(report, 'utf8'))
      : { passed: 0, failed: 1, skipped: 0, failures: [{ where: `the ${suite} suite`, lines: ['it did not end'] }] };
    passed += result.passed;
    failed += result.failed;
    skipped += result.skipped;
    failures.push(...result.failures);
    if (!good && result.failed === 0) failed++;
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
if (failures.length > 0) console.log('test: this failed:');
for (const { where, lines } of failures) console.log([`  ${where}`, ...lines.map((line) => `    ${line}`)].join('\n'));
console.log(`test: took ${Math.round((Date.now() - began) / 1000)} s`);
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exit(failed === 0 ? 0 : 1);
