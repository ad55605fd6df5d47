import { codeOf } from '@wherry/base';
import { describe, expect, it } from 'vitest';
import { parseBody } from './body.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const json = (text: string) => parseBody(bytes(text), 'application/json');

describe('JSON bodies', () => {
  it('names keys that stand twice', () => {
    expect(json('{"spec":{"a":1,"b":[{"x":1},{"y":2,"y":3}],"a":2}}')).toEqual({
      value: { spec: { a: 2, b: [{ x: 1 }, { y: 3 }] } },
      duplicateFields: ['spec.b[1].y', 'spec.a'],
    });
  });

  it('is not misled by strings that look like keys', () => {
    for (const text of [
      '{"a":"b\\": {","c":"\\\\"}',
      '{"a" : ["x", ":", "\\"y\\":1"]}',
      '["a","b"]',
      '"\\\\\\""',
      '{}',
    ]) {
      expect(json(text)).toEqual({ value: JSON.parse(text), duplicateFields: [] });
    }
  });

  it('sees a key that is written in two ways', () => {
    expect(json('{"a":1,"\\u0061":2}').duplicateFields).toEqual(['a']);
  });

  it('refuses what is not JSON, and what is nested without end', () => {
    expect(() => json('{')).toThrow(expect.objectContaining({ code: 'invalid' }));
    expect(() => json('['.repeat(5000) + ']'.repeat(5000))).toThrow('exceeded max depth');
  });
});

describe('YAML bodies', () => {
  const yaml = (text: string) => parseBody(bytes(text), 'application/yaml; charset=utf-8').value;

  it('reads YAML 1.1 as Kubernetes does', () => {
    expect(yaml('a: yes\nb: "yes"\nc: 010\nd: 2001-01-01\ne: 12:30\nf: ~\n')).toEqual({
      a: true,
      b: 'yes',
      c: 8,
      d: '2001-01-01',
      e: '12:30',
      f: null,
    });
    expect(yaml('p: &a {k: v}\nq: {<<: *a, z: 1}\n')).toEqual({ p: { k: 'v' }, q: { k: 'v', z: 1 } });
  });

  it('bounds aliases', () => {
    const bomb = ['a: &a [x,x,x,x,x,x,x,x,x]'];
    for (const [from, to] of ['ab', 'bc', 'cd', 'de', 'ef', 'fg']) {
      bomb.push(`${to}: &${to} [${Array.from({ length: 9 }, () => `*${from}`).join(',')}]`);
    }
    expect(() => yaml(bomb.join('\n'))).toThrow(expect.objectContaining({ code: 'invalid' }));
  });

  it('refuses other types', () => {
    expect(() => parseBody(bytes(''), 'text/html')).toThrow(expect.objectContaining({ code: 'unsupported' }));
  });
});

describe('hostile YAML', () => {
  const codeFor = (text: string): unknown => {
    try {
      parseBody(Buffer.from(text), 'application/yaml');
      return undefined;
    } catch (error) {
      return codeOf(error);
    }
  };

  it('is refused before the parser runs out of memory or stack', () => {
    // The first of these ended the process.
    for (const text of [
      '- '.repeat(100_000),
      '? '.repeat(100_000),
      '['.repeat(100_000),
      '{'.repeat(100_000),
      `a:\n${' '.repeat(100_000)}"b\n\n c"`,
      Array.from({ length: 2000 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n'),
      'a: &a [*a]',
    ]) {
      expect(codeFor(text)).toBe('invalid');
    }
  });

  it('that would keep the parser busy for seconds is refused, as JSON it is read', () => {
    const long = Object.fromEntries(Array.from({ length: 100_000 }, (_, index) => [`k${index}`, 'v']));
    const lines = Object.keys(long).map((key) => `${key}: v`);
    expect(codeFor(lines.join('\n'))).toBe('tooLarge');
    expect(parseBody(Buffer.from(JSON.stringify(long)), 'application/apply-patch+yaml').value).toEqual(long);
  });

  it('is told from text that only looks like it', () => {
    const script = `${'[ "$a" ] || { '.repeat(2000)}\n${' '.repeat(3000)}- - -`;
    const text = `data:\n  script: |\n    ${script.replaceAll('\n', '\n    ')}\n  quoted: ${JSON.stringify(script)}\n`;
    expect(parseBody(Buffer.from(text), 'application/yaml').value).toEqual({
      data: { script: `${script}\n`, quoted: script },
    });
  });
});
