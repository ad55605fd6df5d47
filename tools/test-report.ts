import { writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import type { Reporter, SerializedError, TestCase, TestModule, TestSuite } from 'vitest/node';

/** What came of a suite. */
export interface TestReport {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** All that failed, with where and why: tests, hooks, files that could not be loaded, stray errors. */
  readonly failures: readonly { readonly where: string; readonly lines: readonly string[] }[];
}

const root = new URL('..', import.meta.url).pathname;
/** Lines of a message, and of a difference, that are kept. */
const most = 15;

/** Writes a suite's report as JSON to a file, for `tools/test.mjs`. */
export class TestReporter implements Reporter {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  onTestRunEnd(modules: readonly TestModule[], strayErrors: readonly SerializedError[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const count = (...states: readonly string[]): number =>
      tests.filter((test) => states.includes(test.result().state)).length;
    const failures = modules.flatMap((module) => {
      const file = relative(root, module.moduleId);
      const nodes = [...module.children.allSuites(), ...module.children.allTests()];
      return [
        ...module.errors().map((error) => failure(file, error)),
        ...nodes.flatMap((node) => errorsOf(node).map((error) => failure(`${file} > ${node.fullName}`, error))),
      ];
    });
    for (const error of strayErrors) failures.push(failure('outside of the tests', error));
    const counts = { passed: count('passed'), failed: count('failed'), skipped: count('skipped', 'pending') };
    writeFileSync(this.#path, JSON.stringify({ ...counts, failures } satisfies TestReport));
  }
}

function errorsOf(node: TestSuite | TestCase): readonly SerializedError[] {
  return (node.type === 'test' ? node.result().errors : node.errors()) ?? [];
}

function failure(where: string, { name, message, diff, stacks }: SerializedError): TestReport['failures'][number] {
  const place = stacks?.find(({ file }) => file.startsWith(root) && !file.includes('node_modules'));
  const lines = [...firstLines(`${name ?? 'Error'}: ${message}`), ...firstLines(String(diff ?? ''))];
  return { where, lines: place ? [...lines, `at ${relative(root, place.file)}:${place.line}`] : lines };
}

function firstLines(text: string): string[] {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  return lines.length > most ? [...lines.slice(0, most), '…'] : lines;
}
