import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { SerializedError, TestModule } from 'vitest/node';
import { TestReporter } from './test-report.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'wherry-report-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const root = new URL('..', import.meta.url).pathname;

/** What the runner says of a file: errors of its own, of a group of tests, and of tests. */
function moduleOf(
  path: string,
  errors: readonly SerializedError[],
  suite: readonly SerializedError[],
  tests: readonly { readonly state: string; readonly errors?: readonly SerializedError[] }[],
): TestModule {
  const cases = tests.map((result, index) => ({
    type: 'test',
    fullName: `group > test ${index}`,
    result: () => result,
  }));
  const suites = [{ type: 'suite', fullName: 'group', errors: () => suite }];
  const children = { allTests: () => cases.values(), allSuites: () => suites.values() };
  return { moduleId: join(root, path), errors: () => errors, children } as unknown as TestModule;
}

it('says how many tests came out how, and where and why something failed', () => {
  const at = (line: number) => ({ stacks: [{ method: '', file: join(root, 'a.test.ts'), line, column: 1 }] });
  const error = (message: string, more: Partial<SerializedError> = {}): SerializedError => ({ message, ...more });
  const path = join(folder, 'report.json');
  const differs = error('differs', { name: 'AssertionError', diff: '- 1\n+ 2', ...at(3) });
  const modules = [
    moduleOf(
      'a.test.ts',
      [],
      [error('left behind:\n\n  a process')],
      [{ state: 'passed' }, { state: 'failed', errors: [differs] }, { state: 'skipped' }],
    ),
    moduleOf('b.test.ts', [error(Array.from({ length: 40 }, (_, line) => `line ${line}`).join('\n'))], [], []),
  ];
  new TestReporter(path).onTestRunEnd(modules, [error('stray')]);
  const { failures, ...counts } = JSON.parse(readFileSync(path, 'utf8'));
  expect(counts).toEqual({ passed: 1, failed: 1, skipped: 1 });
  const [hook, test, file, stray] = failures;
  expect(hook).toEqual({ where: 'a.test.ts > group', lines: ['Error: left behind:', '  a process'] });
  expect(test).toEqual({
    where: 'a.test.ts > group > test 1',
    lines: ['AssertionError: differs', '- 1', '+ 2', 'at a.test.ts:3'],
  });
  expect([file.where, file.lines.length, file.lines.at(-1)]).toEqual(['b.test.ts', 16, '…']);
  expect(stray).toEqual({ where: 'outside of the tests', lines: ['Error: stray'] });
});
