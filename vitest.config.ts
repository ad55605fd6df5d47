import { defineConfig } from 'vitest/config';
import { TestReporter } from './tools/test-report.ts';

/** How long `expect.poll` waits: as long as a busy machine may take; what comes about ends it at once. */
const poll = { timeout: 15_000, interval: 20 };

// Two suites: `unit` needs no privileges; `machine` needs root, a kernel with namespaces and the
// host programs (files named *.machine.test.ts and everything in e2e/), and runs one file at a time.
/** Where `npm test` wants to find what came of a suite. */
const report = process.env.WHERRY_TEST_REPORT;

export default defineConfig({
  test: {
    reporters: report ? [process.stdout.isTTY ? 'dot' : 'default', new TestReporter(report)] : ['default'],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['packages/*/{src,test}/**/*.test.ts', 'apps/*/{src,test}/**/*.test.ts', 'tools/**/*.test.ts'],
          exclude: ['**/*.machine.test.ts', '**/node_modules/**'],
          testTimeout: 20_000,
          hookTimeout: 20_000,
          expect: { poll },
        },
      },
      {
        test: {
          name: 'machine',
          include: [
            'packages/*/{src,test}/**/*.machine.test.ts',
            'apps/*/{src,test}/**/*.machine.test.ts',
            'e2e/**/*.test.ts',
          ],
          pool: 'forks',
          fileParallelism: false,
          testTimeout: 120_000,
          expect: { poll },
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
