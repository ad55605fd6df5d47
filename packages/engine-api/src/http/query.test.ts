import { VirtualClock } from '@wherry/base';
import { describe, expect, it } from 'vitest';
import { booleanFilter, checkFilters, matchesLabels, matchesText, untilFilter } from './filters.ts';
import { globPattern } from './glob.ts';
import { humanSize, progressBar } from './progress.ts';
import { Query } from './query.ts';
import { parseNanoseconds, parseTime } from './times.ts';

describe('queries', () => {
  it.each([
    ['', false],
    ['0', false],
    ['no', false],
    ['False', false],
    ['none', false],
    [' 1 ', true],
    ['yes', true],
    ['2', true],
  ])('take %j for %s', (text, value) => {
    expect(new Query(`a=${encodeURIComponent(text)}`).flag('a')).toBe(value);
  });

  it('decode, keep order, and know what is absent', () => {
    const query = new Query('a=1+2&a=%C3%A4&b&c=%ff&=x&&d=1=2');
    expect(query.all('a')).toEqual(['1 2', 'ä']);
    expect([query.has('b'), query.text('b'), query.has('z')]).toEqual([true, '', false]);
    expect([query.flag('z', true), query.text('c'), query.text('d')]).toEqual([true, '\xff', '1=2']);
    expect(() => new Query('a=%zz')).toThrow('invalid URL escape "%zz"');
    expect(() => new Query('a=1;b=2')).toThrow('invalid semicolon separator in query');
    expect(new Query('a=%3B').text('a')).toBe(';');
  });

  it('take numbers as Go does', () => {
    expect(new Query('a=-5&b=+7').integer('a')).toBe(-5);
    expect(new Query('b=%2B7').integer('b')).toBe(7);
    for (const text of ['x', '1.5', '1e3', '0x1']) {
      expect(() => new Query(`a=${text}`).integer('a')).toThrow(`strconv.Atoi: parsing "${text}": invalid syntax`);
    }
    expect(() => new Query('a=9223372036854775808').integer('a')).toThrow('value out of range');
    expect(() => new Query('').requiredInteger('a')).toThrow('strconv.Atoi: parsing "": invalid syntax');
  });

  it.each(['{', '[]', '5', '{"a":5}', '{"a":{"b":1}}', '{"a":[1]}'])('refuse the filters %s', (text) => {
    expect(() => new Query(`filters=${encodeURIComponent(text)}`).filters()).toThrow('invalid filter');
  });
});

describe('filters', () => {
  it('are truth values or refused', () => {
    expect(booleanFilter(new Map([['a', ['1']]]), 'a')).toBe(true);
    expect(booleanFilter(new Map([['a', ['false']]]), 'a')).toBe(false);
    expect(booleanFilter(new Map(), 'a')).toBeUndefined();
    expect(() => booleanFilter(new Map([['a', ['x']]]), 'a')).toThrow("invalid filter 'a=[x]'");
    expect(() => checkFilters(new Map([['b', []]]), ['a'])).toThrow("invalid filter 'b'");
  });

  it('match labels by key and by value', () => {
    const labels = { a: 'b', empty: '' };
    expect(matchesLabels(labels, ['a', 'a=b', 'empty='])).toBe(true);
    expect(matchesLabels(labels, ['a', 'a=c'])).toBe(false);
    expect(matchesLabels(labels, ['toString'])).toBe(false);
  });

  it('match texts by parts and patterns, of which none runs away', () => {
    expect(matchesText(['^ab?c$'], 'ac')).toBe(true);
    expect(matchesText(['b'], 'abc')).toBe(true);
    expect(matchesText(['(a+)+$'], `${'a'.repeat(40)}!`)).toBe(false);
    expect(matchesText(['('], 'a(b')).toBe(true);
    expect(matchesText(undefined, 'x')).toBe(true);
  });

  it('take ages, times and dates for `until`', () => {
    const now = new VirtualClock().now();
    const until = (text: string): number | undefined => untilFilter(new Map([['until', [text]]]), now);
    expect(until('1h30m')).toBe(now - 5_400_000);
    expect(until('1700000000')).toBe(1_700_000_000_000);
    expect(until('2026-01-01T00:00:00Z')).toBe(Date.UTC(2026, 0, 1));
    expect(until('2026-01-01T10')).toBe(Date.UTC(2026, 0, 1, 10));
    expect(until('2026-01-01T10:30+02:00')).toBe(Date.UTC(2026, 0, 1, 8, 30));
    expect(() => until('2026-13-01')).toThrow('parsing time "2026-13-01": month out of range');
    expect(() => until('24x-')).toThrow('parsing time "24x-" as "2006-01-02": cannot parse "24x-" as "2006"');
    expect(() => until('soon')).toThrow('failed to parse value as time or duration: "soon"');
    expect(() => untilFilter(new Map([['until', ['1h', '2h']]]), now)).toThrow('more than one until filter');
  });

  it('stop at slashes as globs', () => {
    expect(globPattern('bus*').test('busybox')).toBe(true);
    expect(globPattern('a/*').test('a/b/c')).toBe(false);
    expect(globPattern('[^a-c]?x.y').test('dzx.y')).toBe(true);
    expect(globPattern('a.b').test('axb')).toBe(false);
    expect(() => globPattern('[')).toThrow('syntax error in pattern');
  });
});

describe('times and sizes', () => {
  it('keep nanoseconds', () => {
    expect(parseNanoseconds('1577836800.000000001')).toBe(1_577_836_800_000_000_001n);
    expect(parseTime('0')).toBeUndefined();
    expect(parseTime('1.5')).toBe(1500);
    expect(() => parseNanoseconds('bogus')).toThrow('strconv.ParseInt: parsing "bogus": invalid syntax');
  });

  it('are written as docker writes them', () => {
    expect([0, 999, 35_328, 1_985_688, 2_130_432].map(humanSize)).toEqual([
      '0B',
      '999B',
      '35.33kB',
      '1.986MB',
      '2.13MB',
    ]);
    expect(progressBar(35_328, 1_985_688)).toBe(`[>${' '.repeat(50)}]  35.33kB/1.986MB`);
    expect(progressBar(2_130_432, 1_985_688)).toBe(`[${'='.repeat(50)}>]   2.13MB`);
    expect(progressBar(5, 0)).toBe('      5B');
  });
});
