import { expect, test } from 'vitest';
import { copyJson, equalJson, freezeJson } from './json.ts';

test('equal: order and undefined members do not count, types and lengths do', () => {
  expect(equalJson({ a: 1, b: [{ c: null }] }, { b: [{ c: null }], a: 1, d: undefined })).toBe(true);
  expect(equalJson({ d: undefined }, {})).toBe(true);
  for (const [left, right] of [
    [{}, []],
    [[], {}],
    [[1], [1, 2]],
    [{ a: null }, {}],
    [{}, { a: null }],
    [0, false],
    ['', null],
    [{ a: { b: 1 } }, { a: { b: 2 } }],
  ])
    expect(equalJson(left, right), JSON.stringify([left, right])).toBe(false);
});

test('a member called __proto__ is a member like any other', () => {
  const hostile = JSON.parse('{"__proto__": {"admin": true}, "toString": 1}') as object;
  const copy = copyJson(hostile);
  expect(Object.getPrototypeOf(copy)).toBe(Object.prototype);
  expect(JSON.stringify(copy)).toBe(JSON.stringify(hostile));
  expect(equalJson(copy, hostile)).toBe(true);
  expect(equalJson(JSON.parse('{"__proto__": {}}'), {})).toBe(false);
  expect(equalJson({}, JSON.parse('{"__proto__": {}}'))).toBe(false);
});

test('a copy shares nothing and may be changed; frozen is frozen to the ground', () => {
  const frozen = freezeJson({ a: [{ b: 1 }], c: undefined });
  expect(Object.isFrozen(frozen.a[0])).toBe(true);
  const copy = copyJson(frozen);
  expect('c' in copy).toBe(false);
  copy.a[0]!.b = 2;
  expect(frozen.a[0]!.b).toBe(1);
});
