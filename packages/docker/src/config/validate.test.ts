import { expect, test } from 'vitest';
import type { JsonObject } from '../containers/containers.ts';
import { everyFeature } from './check-limits.ts';
import { decodeCreate } from './decode.ts';
import { checkLogConfig } from './log-config.ts';
import { checkNetworkMode } from './modes.ts';
import { parseBind } from './mount-specs.ts';
import { exposedPorts, portRequests } from './ports.ts';
import { parseSecurityOptions } from './security.ts';
import { killSignal, parseSignal, stopSignal } from './signals.ts';
import { checkContainer } from './validate.ts';

const abilities = {
  cgroupFeatures: everyFeature,
  processors: 2,
  cpus: new Set([0, 1]),
  memoryNodes: new Set([0]),
  runtimes: new Set(['runc']),
  ownUsers: false,
  exists: (path: string) => path === '/there',
};

function refusal(config: JsonObject, host: JsonObject = {}): string | undefined {
  try {
    const request = decodeCreate({ Image: 'busybox', ...config, HostConfig: host });
    checkNetworkMode(request.config, request.host);
    checkContainer(request.config, request.host, abilities);
    parseSecurityOptions(request.host, { selinux: true });
    if (request.host.LogConfig.Type !== '') checkLogConfig(request.host.LogConfig);
    for (const bind of request.host.Binds ?? []) parseBind(bind);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

test.each<[JsonObject, JsonObject, string]>([
  [{ WorkingDir: 'here' }, {}, "the working directory 'here' is invalid, it needs to be an absolute path"],
  [{ StopSignal: 'SIGNOPE' }, {}, 'invalid signal: SIGNOPE'],
  [{ Env: ['=x'] }, {}, 'invalid environment variable: =x'],
  [{ Healthcheck: { Interval: 5 } }, {}, 'Interval in Healthcheck cannot be less than 1ms'],
  [{ Healthcheck: { Retries: -1 } }, {}, 'Retries in Healthcheck cannot be negative'],
  [
    {},
    { AutoRemove: true, RestartPolicy: { Name: 'always' } },
    "can't create 'AutoRemove' container with restart policy",
  ],
  [
    {},
    { RestartPolicy: { Name: 'always', MaximumRetryCount: 2 } },
    "invalid restart policy: maximum retry count can only be used with 'on-failure'",
  ],
  [
    {},
    { RestartPolicy: { Name: 'on-failure', MaximumRetryCount: -2 } },
    'invalid restart policy: maximum retry count cannot be negative',
  ],
  [
    {},
    { Mounts: [{ Type: 'bind', Source: '/gone', Target: '/m' }] },
    'invalid mount config for type "bind": bind source path does not exist: /gone',
  ],
  [
    {},
    { Mounts: [{ Type: 'tmpfs', Source: 'x', Target: '/m' }] },
    'invalid mount config for type "tmpfs": field Source must not be specified',
  ],
  [
    {},
    { Mounts: [{ Type: 'volume', Target: '' }] },
    'invalid mount config for type "volume": field Target must not be empty',
  ],
  [
    {},
    { Mounts: [{ Type: 'volume', Target: '/m', ReadOnly: true }] },
    'invalid mount config for type "volume": must not set ReadOnly mode when using anonymous volumes',
  ],
  [
    {},
    { Mounts: [{ Type: 'image', Target: '/m' }] },
    'invalid mount config for type "image": field Source must not be empty',
  ],
  [
    {},
    { Mounts: [{ Type: 'image', Source: 'i', Target: '/m', ImageOptions: { Subpath: '../x' } }] },
    'invalid mount config for type "image": subpath must be a relative path within the volume',
  ],
  [{}, { Binds: ['/m:ro'] }, "invalid volume specification: '/m:ro'"],
  [{}, { Binds: ['a1:/m:copy'] }, 'invalid mode: copy'],
  [
    {},
    { Binds: ['a1:/m:rshared'] },
    'invalid volume specification: \'a1:/m:rshared\': invalid mount config for type "volume": field BindOptions must not be specified',
  ],
  [{}, { Mounts: [{ Type: 'odd', Target: '/m' }] }, 'invalid mount config for type "odd": mount type unknown'],
  [
    {},
    { Mounts: [{ Type: 'volume', Source: 'v', Target: '/m', VolumeOptions: { Subpath: '../x' } }] },
    'invalid mount config for type "volume": subpath must be a relative path within the volume',
  ],
  [
    {},
    { Binds: ['a:b'] },
    "invalid volume specification: 'a:b': invalid mount config for type \"volume\": invalid mount path: 'b' mount path must be absolute",
  ],
  [{}, { Binds: ['/a:/b:ro,rw'] }, 'invalid mode: ro,rw'],
  [{}, { Binds: ['/a:/b:nosuch'] }, 'invalid mode: nosuch'],
  [
    {},
    { Binds: ['/a:/b:nocopy'] },
    `invalid volume specification: '/a:/b:nocopy': invalid mount config for type "bind": field VolumeOptions must not be specified`,
  ],
  [{}, { ExtraHosts: ['db'] }, 'bad format for add-host: "db"'],
  [{}, { ExtraHosts: ['db:nope'] }, 'invalid IP address in add-host: "nope"'],
  [{}, { PortBindings: { '80x/tcp': [] } }, 'invalid port specification: "80x"'],
  [{}, { PortBindings: { '80/tcp': [{ HostPort: '70000' }] } }, 'invalid port specification: "70000"'],
  [{}, { CapAdd: ['nosuch'] }, 'invalid CapAdd: unknown capability: "CAP_NOSUCH"'],
  [{}, { PidMode: 'odd' }, 'invalid PID mode: odd'],
  [{}, { Memory: 1024 }, 'Minimum memory limit allowed is 6MB'],
  [{}, { Memory: 1e8, MemorySwap: 1e7 }, 'Minimum memoryswap limit should be larger than memory limit, see usage'],
  [{}, { MemorySwap: 1e8 }, 'You should always set the Memory limit when using Memoryswap limit, see usage'],
  [{}, { NanoCpus: 3e9 }, 'Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available'],
  [{}, { NanoCpus: 1e9, CpuQuota: 5000 }, 'Conflicting options: Nano CPUs and CPU Quota cannot both be set'],
  [{}, { CpusetCpus: '0-4' }, 'Requested CPUs are not available - requested 0-4, available: 0-1'],
  [{}, { CpusetCpus: 'x' }, 'Invalid value x for cpuset cpus: invalid format: x'],
  [{}, { BlkioWeight: 5 }, 'Range of blkio weight is from 10 to 1000'],
  [{}, { OomScoreAdj: 2000 }, 'Invalid value 2000, range for oom score adj is [-1000, 1000]'],
  [{}, { Runtime: 'odd' }, 'unknown or invalid runtime name: odd'],
  [{}, { SecurityOpt: ['odd'] }, 'invalid --security-opt 1: "odd"'],
  [{}, { LogConfig: { Type: 'bogus', Config: {} } }, 'error looking up logging plugin bogus: plugin "bogus" not found'],
  [{}, { LogConfig: { Type: 'json-file', Config: { odd: '1' } } }, "unknown log opt 'odd' for json-file log driver"],
  [{ Hostname: 'x' }, { NetworkMode: 'container:y' }, 'conflicting options: hostname and the network mode'],
  [
    { ExposedPorts: { '80/tcp': {} } },
    { NetworkMode: 'container:y' },
    'conflicting options: port exposing and the container type network mode',
  ],
  [{}, { NetworkMode: 'container:' }, 'Invalid network mode: invalid container format container:<name|id>'],
  [
    {},
    { Memory: '5m' },
    'invalid JSON: json: cannot unmarshal string into Go struct field HostConfig.HostConfig.Resources.Memory of type int64',
  ],
])('refuses %j %j', (config, host, message) => {
  expect(refusal(config, host)).toBe(message);
});

test('takes what is right', () => {
  expect(
    refusal(
      { Env: ['A'], StopSignal: 'SIGRTMIN+3', Healthcheck: { Test: ['NONE'] } },
      {
        Binds: ['v:/data:ro,nocopy', '/a:/b:z,rslave', '/anonymous'],
        Mounts: [{ Type: 'bind', Source: '/there', Target: '/m' }],
        ExtraHosts: ['db:10.0.0.1', 'v6=[::1]', 'gw:host-gateway'],
        PortBindings: { '80/tcp': [{ HostIp: '::', HostPort: '8000-8010' }], '53/udp': null },
        CapAdd: ['net_admin', 'ALL'],
        SecurityOpt: ['no-new-privileges', 'seccomp=unconfined', 'label=disable'],
        NanoCpus: 5e8,
      },
    ),
  ).toBeUndefined();
});

test('needs a config', () => {
  expect(() => decodeCreate({ HostConfig: {} })).toThrow('config cannot be empty in order to create a container');
});

test('takes no harm from what images say', () => {
  expect(['', undefined, 'SIGFOO', '0', 'QUIT', '99'].map(stopSignal)).toEqual([15, 15, 15, 15, 3, 99]);
  const ExposedPorts = { bad: {}, '': {}, '80/foo': {}, '99999/tcp': {}, '80-82/tcp': {}, '53/udp': {}, '80': {} };
  expect(exposedPorts({ ExposedPorts }).sort()).toEqual(['53/udp', '80/tcp']);
  const host = { PublishAllPorts: true, PortBindings: {} } as unknown as Parameters<typeof portRequests>[1];
  const config = { ExposedPorts } as unknown as Parameters<typeof portRequests>[0];
  expect(portRequests(config, host).map(({ containerPort }) => containerPort)).toEqual([53, 80]);
});

test('knows signals by name and number', () => {
  expect(['9', 'kill', 'SIGTERM', 'RTMIN', 'SIGRTMAX-1'].map(parseSignal)).toEqual([9, 9, 15, 34, 63]);
  for (const bad of ['0', 'BOGUS', 'RTMIN+31']) expect(() => parseSignal(bad)).toThrow(`invalid signal: ${bad}`);
  expect(killSignal(undefined)).toBe(9);
  for (const unknown of ['-1', '32', '65'])
    expect(() => killSignal(unknown)).toThrow(`the linux daemon does not support signal ${unknown}`);
});
