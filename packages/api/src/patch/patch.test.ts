import { describe, expect, it } from 'vitest';
import { applyJsonPatch } from './json-patch.ts';
import { applyMergePatch, createMergePatch } from './merge-patch.ts';
import { applyStrategicMergePatch } from './strategic-merge.ts';

function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(value).forEach(frozen);
  return Object.freeze(value);
}

/** A small deterministic generator of JSON, so that the property can fail reproducibly. */
function* documents(seed: number, count: number): Generator<Record<string, unknown>> {
  let state = seed;
  const next = (n: number): number => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state % n;
  };
  const value = (depth: number): unknown => {
    const kind = depth > 3 ? next(3) : next(6);
    if (kind === 0) return next(3);
    if (kind === 1) return 'ab'[next(2)];
    if (kind === 2) return next(2) === 0;
    if (kind === 3) return Array.from({ length: next(3) }, () => value(depth + 1));
    return Object.fromEntries(Array.from({ length: next(4) }, () => ['abcd'[next(4)]!, value(depth + 1)]));
  };
  for (let i = 0; i < count; i++) yield { x: value(0), y: value(0), z: value(1) };
}

describe('JSON merge patches', () => {
  it('turn any document into any other', () => {
    const all = [...documents(7, 60)];
    for (const from of all) {
      for (const to of all) {
        const patch = createMergePatch(frozen(from), frozen(to));
        expect(patch === undefined ? from : applyMergePatch(from, patch)).toEqual(to);
      }
    }
  });

  it('delete by null and cannot reach prototypes', () => {
    expect(applyMergePatch({ a: { b: 1, c: 2 } }, { a: { b: null } })).toEqual({ a: { c: 2 } });
    applyMergePatch({}, JSON.parse('{"__proto__":{"polluted":1}}'));
    expect(({} as { polluted?: number }).polluted).toBe(undefined);
  });
});

describe('JSON patches', () => {
  it('apply to a copy', () => {
    const document = frozen({ spec: { replicas: 1, list: ['a'] } });
    expect(
      applyJsonPatch(document, [
        { op: 'replace', path: '/spec/replicas', value: 3 },
        { op: 'add', path: '/spec/list/-', value: 'b' },
        { op: 'test', path: '/spec/list/0', value: 'a' },
      ]),
    ).toEqual({ spec: { replicas: 3, list: ['a', 'b'] } });
  });

  it.each([
    [[{ op: 'test', path: '/a', value: 2 }], 'testing value /a failed: test failed'],
    [
      [{ op: 'remove', path: '/missing' }],
      'remove operation does not apply: doc is missing path: "/missing": missing value',
    ],
    [[{ op: 'jump', path: '/a' }], 'jump operation does not apply'],
  ])('%j is refused', (patch, text) => {
    expect(() => applyJsonPatch({ a: 1 }, patch)).toThrow(
      expect.objectContaining({
        code: 'invalid',
        details: {
          status: expect.objectContaining({
            code: 422,
            details: { causes: [expect.objectContaining({ message: expect.stringContaining(text) })] },
          }),
        },
      }),
    );
  });

  it('refuses what is no list', () => {
    expect(() => applyJsonPatch({}, {})).toThrow('error decoding patch');
  });

  it('copy a bounded amount, however small they are themselves', () => {
    const copies = Array.from({ length: 40 }, (_, n) => ({ op: 'copy', from: '/data', path: `/data/${n}` }));
    const code = (patch: unknown): unknown => {
      try {
        applyJsonPatch({ data: { x: 'y' } }, patch);
        return undefined;
      } catch (error) {
        return (error as { code?: unknown }).code;
      }
    };
    expect(code(copies)).toBe('tooLarge');
    expect(code(copies.slice(0, 5))).toBeUndefined();
    expect(code([{ op: 'copy', from: '/nowhere/at/all', path: '/data/n' }])).toBe('invalid');
    expect(applyJsonPatch({ a: { b: 1 } }, [{ op: 'copy', from: '/a', path: '/c' }])).toEqual({
      a: { b: 1 },
      c: { b: 1 },
    });
  });
});

describe('strategic merge patches', () => {
  const pod = frozen({
    metadata: { finalizers: ['a', 'b'], labels: { x: '1' } },
    spec: {
      containers: [
        {
          name: 'one',
          image: 'a:1',
          env: [
            { name: 'E', value: '1' },
            { name: 'F', value: '2' },
          ],
          args: ['x'],
        },
        { name: 'two', image: 'b:1' },
      ],
      tolerations: [{ key: 'k' }],
      volumes: [{ name: 'v', emptyDir: {} }],
    },
  });
  const patched = (patch: unknown) => applyStrategicMergePatch(pod, frozen(patch), 'V1Pod') as typeof pod;

  it('merge lists by their keys and replace the others', () => {
    const { spec } = patched({
      spec: {
        containers: [
          { name: 'two', image: 'b:2' },
          { name: 'three', image: 'c' },
          { name: 'one', env: [{ name: 'F', value: '9' }], args: ['y'] },
        ],
        tolerations: [{ key: 'other' }],
      },
    });
    expect(spec.containers).toEqual([
      {
        name: 'one',
        image: 'a:1',
        env: [
          { name: 'E', value: '1' },
          { name: 'F', value: '9' },
        ],
        args: ['y'],
      },
      { name: 'two', image: 'b:2' },
      { name: 'three', image: 'c' },
    ]);
    expect(spec.tolerations).toEqual([{ key: 'other' }]);
  });

  it('obey $patch in lists and maps', () => {
    expect(patched({ spec: { containers: [{ name: 'one', $patch: 'delete' }] } }).spec.containers).toEqual([
      { name: 'two', image: 'b:1' },
    ]);
    expect(patched({ spec: { containers: [{ $patch: 'replace' }, { name: 'new' }] } }).spec.containers).toEqual([
      { name: 'new' },
    ]);
    expect(patched({ metadata: { labels: { $patch: 'replace', y: '2' } } }).metadata.labels).toEqual({ y: '2' });
    expect(patched({ metadata: { labels: { $patch: 'delete' } } }).metadata).not.toHaveProperty('labels');
    expect(() => patched({ spec: { $patch: 'invert' } })).toThrow('unknown patch type');
  });

  it('obey $retainKeys', () => {
    expect(
      patched({ spec: { volumes: [{ name: 'v', $retainKeys: ['name', 'hostPath'], hostPath: { path: '/x' } }] } }).spec
        .volumes,
    ).toEqual([{ name: 'v', hostPath: { path: '/x' } }]);
    const deployment = { spec: { strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } } } };
    expect(
      applyStrategicMergePatch(
        deployment,
        { spec: { strategy: { $retainKeys: ['type'], type: 'Recreate' } } },
        'V1Deployment',
      ),
    ).toEqual({ spec: { strategy: { type: 'Recreate' } } });
  });

  it('merge and delete from lists of plain values', () => {
    expect(patched({ metadata: { finalizers: ['b', 'c'] } }).metadata.finalizers).toEqual(['a', 'b', 'c']);
    expect(patched({ metadata: { '$deleteFromPrimitiveList/finalizers': ['a'] } }).metadata.finalizers).toEqual(['b']);
  });

  it('order lists as asked, keeping what others added in its place', () => {
    const names = (patch: unknown) => patched(patch).spec.containers.map((c) => c.name);
    expect(names({ spec: { '$setElementOrder/containers': [{ name: 'two' }, { name: 'one' }] } })).toEqual([
      'two',
      'one',
    ]);
    expect(
      names({
        spec: { '$setElementOrder/containers': [{ name: 'new' }, { name: 'two' }], containers: [{ name: 'new' }] },
      }),
    ).toEqual(['new', 'one', 'two']);
  });

  it('drop nulls and directives from what is new', () => {
    expect(
      applyStrategicMergePatch(
        {},
        { spec: { a: null, containers: [{ name: 'x', image: null }], '$setElementOrder/containers': [{ name: 'x' }] } },
        'V1Pod',
      ),
    ).toEqual({ spec: { containers: [{ name: 'x' }] } });
  });

  it('need the merge key', () => {
    expect(() => patched({ spec: { containers: [{ image: 'x' }] } })).toThrow(
      'does not contain declared merge key: name',
    );
  });
});
