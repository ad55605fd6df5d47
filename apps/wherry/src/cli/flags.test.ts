import { codeOf } from '@wherry/base';
import { describe, expect, it } from 'vitest';
import { type FlagSpec, flagUsage, parseFlags } from './flags.ts';

const specs: readonly FlagSpec[] = [
  { name: 'name', short: 'n', type: 'string', usage: 'a name', default: 'wherry' },
  { name: 'purge', short: 'p', type: 'boolean', usage: 'all of it' },
  { name: 'quiet', short: 'q', type: 'boolean', usage: 'silent' },
  { name: 'port', type: 'number', usage: 'a port' },
  { name: 'serve', type: 'string', usage: 'serves', implied: 'here' },
];

describe('parseFlags', () => {
  it.each([
    [['--name', 'x']],
    [['--name=x']],
    [['-n', 'x']],
    [['-nx']],
    [['-n=x']],
    [['-qn', 'x']],
    [['--name', 'y', '--name', 'x']],
  ])('takes a value as in %j', (argv) => {
    expect(parseFlags(specs, argv).string('name')).toBe('x');
  });

  it.each([
    [['--purge'], true],
    [['--purge=true'], true],
    [['--purge=false'], false],
    [['-p'], true],
    [['-p=0'], false],
    [['-qp'], true],
    [[], false],
  ])('reads a switch from %j', (argv, purge) => {
    expect(parseFlags(specs, argv).boolean('purge')).toBe(purge);
  });

  it('does not take the next word as the value of a switch, and ends at --', () => {
    const flags = parseFlags(specs, ['--purge', 'file', '--', '--name', '-']);
    expect(flags.args).toEqual(['file', '--name', '-']);
    expect(flags.string('name')).toBe('wherry');
  });

  it('takes what a flag alone means, and another value only after =', () => {
    const alone = parseFlags(specs, ['--serve', 'there']);
    expect([alone.string('serve'), alone.args]).toEqual(['here', ['there']]);
    expect(parseFlags(specs, ['--serve=there']).string('serve')).toBe('there');
    expect(parseFlags(specs, []).string('serve')).toBeUndefined();
    expect(flagUsage(specs.slice(4))).toBe('      --serve string[="here"]   serves');
  });

  it('takes - as an argument and numbers as numbers', () => {
    const flags = parseFlags(specs, ['-', '--port=6443']);
    expect(flags.args).toEqual(['-']);
    expect(flags.number('port')).toBe(6443);
  });

  it.each([
    [['--nosuch'], 'unknown flag: --nosuch'],
    [['-x'], "unknown shorthand flag: 'x' in -x"],
    [['--name'], 'flag needs an argument: --name'],
    [['--purge=maybe'], 'invalid argument "maybe" for "--purge" flag: parsing as a boolean: invalid syntax'],
    [['--port', 'x'], 'invalid argument "x" for "--port" flag: parsing as a number: invalid syntax'],
  ])('refuses %j in the words of pflag', (argv, message) => {
    let error: unknown;
    try {
      parseFlags(specs, argv);
    } catch (thrown) {
      error = thrown;
    }
    expect(codeOf(error)).toBe('invalid');
    expect((error as Error).message).toBe(message);
  });
});

it('lists flags aligned, with their defaults', () => {
  expect(flagUsage(specs.slice(0, 2))).toBe(
    '  -n, --name string   a name (default wherry)\n  -p, --purge         all of it',
  );
});
