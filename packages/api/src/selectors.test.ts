import { describe, expect, it } from 'vitest';
import { parseFieldSelector } from './field-selector.ts';
import { labelSelector, labelSetSelector, parseLabelSelector } from './selectors.ts';

const labels = { app: 'web', tier: 'front', n: '7', 'example.com/x': '' };

describe('label selectors', () => {
  it.each([
    ['', true],
    ['app=web', true],
    ['app==web', true],
    ['app = web , tier=front', true],
    ['app=other', false],
    ['app!=other', true],
    ['missing!=x', true],
    ['app in (web, api)', true],
    ['app in (api)', false],
    ['app notin (api)', true],
    ['missing notin (api)', true],
    ['app', true],
    ['!app', false],
    ['!missing', true],
    ['n>6', true],
    ['n>7', false],
    ['n<8', true],
    ['app>1', false],
    ['example.com/x=', true],
    ['example.com/x', true],
    ['example.com/x in (,y)', true],
    ['in=x', false],
  ])('%j', (text, matches) => {
    expect(parseLabelSelector(text).matches(labels)).toBe(matches);
  });

  it.each([
    ['app=web=x', "found '=', expected: ',' or 'end of string'"],
    ['=x', "found '=', expected: !, identifier, or 'end of string'"],
    ['a,', "found '', expected: identifier after ','"],
    ['a in x', "unable to parse requirement: found 'x' expected: '('"],
    ['a b', "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"],
    ['a in ()', "unable to parse requirement: values: Invalid value: []: for 'in', 'notin' operators"],
    ['a>x', "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators"],
    ['-a=x', 'unable to parse requirement: key: Invalid value: "-a": name part must consist of'],
    ['a=-x', 'unable to parse requirement: values[0][a]: Invalid value: "-x": a valid label must'],
  ])('refuses %j', (text, message) => {
    expect(() => parseLabelSelector(text)).toThrow(message);
  });

  it('writes a text that reads back the same', () => {
    for (const text of ['z=1,a!=2', 'b in (y,x)', '!c,d', 'e notin (q)', 'n>3', 'k=']) {
      const selector = parseLabelSelector(text);
      const again = parseLabelSelector(selector.text);
      expect(again.text).toBe(selector.text);
      expect(again.requirements.map((r) => r.key)).toEqual(selector.requirements.map((r) => r.key));
    }
    expect(parseLabelSelector('z=1,a!=2').text).toBe('a!=2,z=1');
    expect(parseLabelSelector('b in (y,x)').text).toBe('b in (x,y)');
  });

  it('matches nothing when left out, everything when empty', () => {
    expect(labelSelector(undefined).matches({})).toBe(false);
    expect(labelSelector(undefined).everything).toBe(false);
    expect(labelSelector({}).matches(labels)).toBe(true);
    expect(labelSetSelector(undefined).matches(undefined)).toBe(true);
  });

  it('reads the object form', () => {
    const selector = labelSelector({
      matchLabels: { app: 'web' },
      matchExpressions: [
        { key: 'tier', operator: 'In', values: ['front'] },
        { key: 'x', operator: 'DoesNotExist' },
      ],
    });
    expect(selector.text).toBe('app=web,tier in (front),!x');
    expect(selector.matches(labels)).toBe(true);
    expect(() => labelSelector({ matchExpressions: [{ key: 'a', operator: 'Like' }] })).toThrow(
      '"Like" is not a valid label selector operator',
    );
  });

  it('does not see inherited properties as labels', () => {
    expect(parseLabelSelector('constructor').matches({})).toBe(false);
    expect(() => parseLabelSelector('a constructor b')).toThrow('expected: in, notin');
  });
});

describe('field selectors', () => {
  it('compares fields', () => {
    const selector = parseFieldSelector('metadata.name=a,status.phase!=Running,spec.x==');
    expect(selector.matches({ 'metadata.name': 'a', 'status.phase': 'Pending' })).toBe(true);
    expect(selector.matches({ 'metadata.name': 'a', 'status.phase': 'Running' })).toBe(false);
    expect(selector.required('metadata.name')).toBe('a');
    expect(selector.required('status.phase')).toBe(undefined);
  });

  it('keeps escaped characters through text', () => {
    const selector = parseFieldSelector('a=x\\,y\\=z\\\\');
    expect(selector.requirements).toEqual([{ field: 'a', operator: '=', value: 'x,y=z\\' }]);
    expect(parseFieldSelector(selector.text).requirements).toEqual(selector.requirements);
  });

  it('refuses what it cannot read', () => {
    expect(() => parseFieldSelector('abc')).toThrow("invalid selector: 'abc'; can't understand 'abc'");
    expect(() => parseFieldSelector('a=b=c')).toThrow('invalid field selector');
  });
});
