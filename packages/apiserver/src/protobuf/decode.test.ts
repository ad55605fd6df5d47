import { codeOf } from '@wherry/base';
import { describe, expect, it } from 'vitest';
import { decodeProtobuf } from './decode.ts';

/** Writes messages for the tests: a field is [number, value]; numbers become varints, the rest length-delimited. */
type Value = number | string | Buffer | readonly (readonly [number, Value])[];
function encode(fields: readonly (readonly [number, Value])[]): Buffer {
  return Buffer.concat(
    fields.flatMap(([number, value]) => {
      if (typeof value === 'number') return [varint(number << 3), varint(value)];
      const bytes = typeof value === 'string' ? Buffer.from(value) : Buffer.isBuffer(value) ? value : encode(value);
      return [varint((number << 3) | 2), varint(bytes.length), bytes];
    }),
  );
}
function varint(value: number): Buffer {
  const out: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  do {
    out.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Buffer.from(out);
}
const envelope = (apiVersion: string, kind: string, raw: Buffer): Buffer =>
  Buffer.concat([
    Buffer.from('k8s\0'),
    encode([
      [
        1,
        [
          [1, apiVersion],
          [2, kind],
        ],
      ],
      [2, raw],
      [3, ''],
      [4, ''],
    ]),
  ]);
const decode = (bytes: Buffer) => decodeProtobuf(bytes) as Record<string, unknown>;

describe('decodeProtobuf', () => {
  it('reads scalars, maps, lists, times, quantities and inline messages of a pod', () => {
    const probe = encode([
      [
        1,
        [
          [
            3,
            [
              [
                1,
                [
                  [1, 1],
                  [3, 'http'],
                ],
              ],
            ],
          ],
        ],
      ],
      [2, 5],
      [99, 'unknown'],
    ]);
    const container = encode([
      [1, 'c'],
      [2, 'busybox'],
      [3, 'sh'],
      [3, '-c'],
      [
        8,
        [
          [
            1,
            [
              [1, 'cpu'],
              [2, [[1, '250m']]],
            ],
          ],
        ],
      ],
      [10, probe],
    ]);
    const volume = encode([
      [1, 'v'],
      [2, [[19, [[1, [[1, 'map']]]]]]],
    ]);
    const pod = encode([
      [
        1,
        [
          [1, 'p'],
          [8, [[1, 1_700_000_000]]],
          [
            11,
            [
              [1, 'a'],
              [2, 'b'],
            ],
          ],
        ],
      ],
      [
        2,
        [
          [1, volume],
          [2, container],
          [4, 0],
        ],
      ],
    ]);
    expect(decode(envelope('v1', 'Pod', pod))).toEqual({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p', creationTimestamp: '2023-11-14T22:13:20Z', labels: { a: 'b' } },
      spec: {
        volumes: [{ name: 'v', configMap: { name: 'map' } }],
        containers: [
          {
            name: 'c',
            image: 'busybox',
            command: ['sh', '-c'],
            resources: { limits: { cpu: '250m' } },
            livenessProbe: { tcpSocket: { port: 'http' }, initialDelaySeconds: 5 },
          },
        ],
        terminationGracePeriodSeconds: 0,
      },
    });
  });

  it('keeps negative numbers, bytes as base64, and names that look like prototypes', () => {
    const secret = encode([
      [
        2,
        [
          [1, '__proto__'],
          [2, Buffer.from([255, 0])],
        ],
      ],
    ]);
    const decoded = decode(envelope('v1', 'Secret', secret));
    expect(Object.entries(decoded.data as object)).toEqual([['__proto__', '/wA=']]);
    const priority = encode([[2, -5]]);
    expect(decode(envelope('scheduling.k8s.io/v1', 'PriorityClass', priority))).toMatchObject({
      value: -5,
    });
  });

  it.each([
    ['no magic', Buffer.from('{}')],
    ['a cut envelope', envelope('v1', 'Pod', encode([[1, [[1, 'p']]]])).subarray(0, 20)],
    ['a cut message', envelope('v1', 'Pod', Buffer.from([0x0a, 0x7f, 1]))],
    ['an endless number', envelope('v1', 'Pod', Buffer.alloc(20, 0xff))],
  ])('refuses %s', (_what, bytes) => {
    let error: unknown;
    try {
      decode(bytes);
    } catch (thrown) {
      error = thrown;
    }
    expect(codeOf(error)).toBe('invalid');
  });
});
