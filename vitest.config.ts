import { defineConfig } from 'vitest/config';

// Two suites: `unit` needs no privileges; `machine` needs root, a kernel with namespaces and the
// host programs (files named *.machine.test.ts and everything in e2e/), and runs one file at a time.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['packages/*/{src,test}/**/*.test.ts', 'apps/*/{src,test}/**/*.test.ts', 'tools/**/*.test.ts'],
          exclude: ['**/*.machine.test.ts', '**/node_modules/**'],
          testTimeout: 20_000,
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
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
