import { codeOf } from '@wherry/base';
import { describe, expect, it } from 'vitest';
import { parseRuntime, runtimesOf } from './runtimes.ts';

const node = process.execPath;

describe('--add-runtime', () => {
  it.each([
    [`mine=${node}`, { name: 'mine', path: node, args: [] }],
    [`my.run_c-2=${node}  --debug   --flag=x`, { name: 'my.run_c-2', path: node, args: ['--debug', '--flag=x'] }],
  ])('takes %j', (text, entry) => {
    expect(parseRuntime(text)).toEqual(entry);
  });

  it.each([
    ['mine', 'it has to be NAME=PATH'],
    [`../x=${node}`, 'it has to be NAME=PATH'],
    [`${'a'.repeat(64)}=${node}`, 'it has to be NAME=PATH'],
    [`crun=${node}`, "runtime name 'crun' is reserved"],
    ['mine=runc', 'the path of runtime mine has to be absolute'],
    ['mine=', 'the path of runtime mine has to be absolute'],
    ['mine=/nosuch/program', 'there is no program /nosuch/program'],
  ])('refuses %j', (text, message) => {
    let failure: unknown;
    try {
      parseRuntime(text);
    } catch (error) {
      failure = error;
    }
    expect([codeOf(failure), (failure as Error).message]).toEqual(['invalid', message]);
  });
});

it('the built-in runtime is the default; one that is registered as runc is taken before the installed one', () => {
  const entry = { name: 'runc', path: node, args: [] };
  const runtimes = runtimesOf({ runtimes: [entry] });
  expect(runtimes[0]).toEqual({ name: 'crun', path: 'crun', args: [] });
  expect(runtimes.filter(({ name }) => name === 'runc')).toEqual([entry]);
});
