import { expect, test } from 'vitest';
import type { JsonObject } from '../containers/containers.ts';
import { decodeCreate } from './decode.ts';

/** Where a member stands and what of it is wrong, as Go's decoder tells it (dockerd 26.1's words). */
test.each<[JsonObject, string]>([
  [{ Image: 1 }, 'number into Go struct field ContainerConfigWrapper.Config.Image of type string'],
  [{ Cmd: [1] }, 'array into Go struct field ContainerConfigWrapper.Config.Cmd of type string'],
  [{ Cmd: {} }, 'object into Go struct field ContainerConfigWrapper.Config.Cmd of type string'],
  [{ Env: 'A=1' }, 'string into Go struct field ContainerConfigWrapper.Config.Env of type []string'],
  [{ ExposedPorts: [] }, 'array into Go struct field ContainerConfigWrapper.Config.ExposedPorts of type nat.PortSet'],
  [{ Volumes: { '/x': 1 } }, 'number into Go struct field ContainerConfigWrapper.Config.Volumes of type struct {}'],
  [{ StopTimeout: 1.5 }, 'number 1.5 into Go struct field ContainerConfigWrapper.Config.StopTimeout of type int'],
  [
    { Healthcheck: { Interval: '1s' } },
    'string into Go struct field HealthcheckConfig.Config.Healthcheck.Interval of type time.Duration',
  ],
  [{ HostConfig: [] }, 'array into Go struct field ContainerConfigWrapper.HostConfig of type container.HostConfig'],
  [{ HostConfig: { Binds: [1] } }, 'number into Go struct field HostConfig.HostConfig.Binds of type string'],
  [
    { HostConfig: { BlkioWeight: -1 } },
    'number -1 into Go struct field HostConfig.HostConfig.Resources.BlkioWeight of type uint16',
  ],
  [
    { HostConfig: { BlkioDeviceReadBps: [{ Rate: -1 }] } },
    'number -1 into Go struct field ThrottleDevice.HostConfig.Resources.BlkioDeviceReadBps.Rate of type uint64',
  ],
  [
    { HostConfig: { Ulimits: 'x' } },
    'string into Go struct field HostConfig.HostConfig.Resources.Ulimits of type []*units.Ulimit',
  ],
  [
    { HostConfig: { DeviceRequests: [{ Capabilities: ['gpu'] }] } },
    'string into Go struct field DeviceRequest.HostConfig.Resources.DeviceRequests.Capabilities of type []string',
  ],
  [
    { HostConfig: { Mounts: [{ TmpfsOptions: { Mode: -1 } }] } },
    'number -1 into Go struct field TmpfsOptions.HostConfig.Mounts.TmpfsOptions.Mode of type fs.FileMode',
  ],
  [
    { HostConfig: { PortBindings: { '80/tcp': {} } } },
    'object into Go struct field HostConfig.HostConfig.PortBindings of type []nat.PortBinding',
  ],
  [
    { HostConfig: { PortBindings: { '80/tcp': [{ HostPort: 80 }] } } },
    'number into Go struct field PortBinding.HostConfig.PortBindings.HostPort of type string',
  ],
  [
    { HostConfig: { RestartPolicy: { Name: 1 } } },
    'number into Go struct field RestartPolicy.HostConfig.RestartPolicy.Name of type container.RestartPolicyMode',
  ],
  [
    { HostConfig: { ConsoleSize: [1.5, 2] } },
    'number 1.5 into Go struct field HostConfig.HostConfig.ConsoleSize of type uint',
  ],
  [
    { NetworkingConfig: { EndpointsConfig: { net: { IPAMConfig: 1 } } } },
    'number into Go struct field EndpointSettings.NetworkingConfig.EndpointsConfig.IPAMConfig of type network.EndpointIPAMConfig',
  ],
])('%j does not fit', (body, message) => {
  expect(() => decodeCreate({ Hostname: '', ...body })).toThrow(`invalid JSON: json: cannot unmarshal ${message}`);
});

test('null is nothing: in lists and maps too', () => {
  const { config, host } = decodeCreate({
    Cmd: [null],
    Labels: { a: null },
    ExposedPorts: { '80/tcp': null },
    HostConfig: { Devices: [null], CapAdd: 'NET_ADMIN', ConsoleSize: [3], Binds: null },
  });
  expect(config).toMatchObject({ Cmd: [''], Labels: { a: '' }, ExposedPorts: { '80/tcp': {} } });
  expect(host).toMatchObject({
    Devices: [{ PathOnHost: '', PathInContainer: '', CgroupPermissions: '' }],
    CapAdd: ['NET_ADMIN'],
    ConsoleSize: [3, 0],
    Binds: null,
  });
});

test.each([
  [{}, null],
  [{ PortBindings: null }, null],
  [{ PortBindings: {} }, {}],
])('ports that are bound: %j is kept as %j', (HostConfig, kept) => {
  expect(decodeCreate({ Image: 'a', HostConfig }).host.PortBindings).toEqual(kept);
});

test('names count in any case', () => {
  expect(decodeCreate({ image: 'a', hostconfig: { MEMORY: 5 } })).toMatchObject({
    config: { Image: 'a' },
    host: { Memory: 5 },
  });
});

test('an endpoint must be there', () => {
  expect(() => decodeCreate({ Image: 'x', NetworkingConfig: { EndpointsConfig: { bridge: null } } })).toThrow(
    'invalid config for network bridge: EndpointsConfig is nil',
  );
});
