import { WherryError } from '@wherry/base';
import { expect, test } from 'vitest';
import { decodeCreate } from '../config/decode.ts';
import type { HostConfig } from '../config/types.ts';
import type { JsonObject } from '../containers/containers.ts';
import { checkSpecification, checkTask, refusalOfShares } from './start-checks.ts';
import { startFailure } from './start-failure.ts';

const host = (given: JsonObject): HostConfig => decodeCreate({ Image: 'x', HostConfig: given }).host;

test.each<[JsonObject, string]>([
  [
    { DeviceRequests: [{ Driver: 'cdi', DeviceIDs: ['a.b/c=d'] }] },
    'could not select device driver "cdi" with capabilities: []',
  ],
  [
    { DeviceRequests: [{ Count: -1, Capabilities: [['gpu'], ['x', 'y']] }] },
    'could not select device driver "" with capabilities: [[gpu] [x y]]',
  ],
  [{ CpuShares: -1 }, 'shares: invalid argument'],
  [{ Dns: ['x'] }, 'bad nameserver address x: ParseAddr("x"): unable to parse IP'],
  [
    { Mounts: [{ Type: 'bind', BindOptions: { ReadOnlyNonRecursive: true } }] },
    'mount options conflict: !ReadOnly && BindOptions.ReadOnlyNonRecursive',
  ],
  [
    {
      Mounts: [
        { Type: 'bind', ReadOnly: true, BindOptions: { ReadOnlyNonRecursive: true, ReadOnlyForceRecursive: true } },
      ],
    },
    'mount options conflict: ReadOnlyNonRecursive && BindOptions.ReadOnlyForceRecursive',
  ],
])('does not start with %j', (given, message) => {
  expect(() => checkSpecification(host(given))).toThrow(message);
});

test('a log that cannot be opened, and shares that runc refuses, keep the task from being made', () => {
  const log = { LogConfig: { Type: 'json-file', Config: { compress: 'x' } } };
  expect(() => checkTask(host(log), 1)).toThrow(
    'failed to create task for container: failed to initialize logging driver: strconv.ParseBool: parsing "x": invalid syntax',
  );
  const few = { LogConfig: { Type: 'json-file' }, CpuShares: 1 };
  expect(() => checkTask(host(few), 1)).toThrow('the minimum allowed cpu-shares is 2');
  // Version 2 of the cgroups has weights, which any number of shares is converted to.
  expect(() => checkTask(host(few), 2)).not.toThrow();
  expect([2, 262_144, 262_145, -5].map(refusalOfShares)).toEqual([
    undefined,
    undefined,
    'the maximum allowed cpu-shares is 262144',
    'the maximum allowed cpu-shares is 262144',
  ]);
});

const failureOf = (message: string, details?: Readonly<Record<string, unknown>>) => {
  const { error, exitCode } = startFailure(
    new WherryError('invalid', message, details === undefined ? {} : { details }),
  );
  return { code: error.code, message: error.message, exitCode };
};
const created =
  'failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed:';

test('what the runtime refuses before it starts anything is worded without the start', () => {
  const reason = 'sysctl "net.ipv4.ip_forward" not allowed in host network namespace';
  expect(failureOf('…', { reason, stage: 'checking' })).toEqual({
    code: 'internal',
    message: `${created} ${reason}: unknown`,
    exitCode: 128,
  });
  expect(failureOf('…', { reason: 'open /proc/sys/x: no such file or directory', stage: 'starting' })).toEqual({
    code: 'invalid',
    message: `${created} unable to start container process: open /proc/sys/x: no such file or directory: unknown`,
    exitCode: 127,
  });
});

test('where a folder is none, dockerd asks whether one was meant', () => {
  expect(failureOf('…', { reason: 'mount /tmp:/etc/passwd: not a directory' }).message).toMatch(
    /not a directory: unknown: Are you trying to mount a directory onto a file \(or vice-versa\)\?/,
  );
});

test('missing devices and numbers out of range are said as they are', () => {
  const device = 'error gathering device information while adding custom device "/dev/x": no such file or directory';
  expect(failureOf(device)).toEqual({ code: 'internal', message: device, exitCode: 128 });
});
