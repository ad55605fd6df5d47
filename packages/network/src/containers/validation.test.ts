import { VirtualClock } from '@wherry/base';
import { describe, expect, test } from 'vitest';
import type { ConnectRequest, CreateNetwork, NetworkRecord } from '../container-networks.ts';
import { checkConnect } from './connect-validation.ts';
import { dockerPools } from './default-pools.ts';
import { readDriverOptions } from './driver-options.ts';
import { byGateway } from './gateway-order.ts';
import { planNetwork } from './plan-network.ts';

let ids = 0;
const around = (networks: readonly NetworkRecord[] = []) => ({
  networks,
  usedRanges: [],
  fenced: [{ address: Uint8Array.of(10, 244, 0, 0), prefix: 16 }],
  pools: dockerPools,
  ipv6Base: 'fd00:1:2::/48',
  bridgePrefix: 'br-',
  clock: new VirtualClock(),
  random: {
    hex: (length: number) => String(++ids).padStart(4, '0').padEnd(length, '0'),
    uuid: () => '',
    suffix: () => '',
  },
});
const plan = (request: Partial<CreateNetwork>, networks: readonly NetworkRecord[] = []): NetworkRecord =>
  planNetwork({ name: 'n', ...request }, around(networks));
const pool = (subnet: string, more: object = {}) => ({ ipam: { driver: 'default', pools: [{ subnet, ...more }] } });

describe('a network that is to be made', () => {
  test('is a bridge with the next range, shown whole', () => {
    const one = plan({ name: 'one' });
    expect(one).toMatchObject({
      driver: 'bridge',
      enableIPv4: true,
      enableIPv6: false,
      ipam: { driver: 'default', pools: [{ subnet: '172.17.0.0/16', gateway: '172.17.0.1' }] },
      chosen: [4],
    });
    const two = plan({ name: 'two', enableIPv6: true, internal: true }, [one]);
    expect(two.ipam.pools).toEqual([
      { subnet: '172.18.0.0/16', gateway: '172.18.0.1' },
      { subnet: 'fd00:1:2::/64', gateway: 'fd00:1:2::1' },
    ]);
    // What the user said is shown as he said it.
    const three = plan({ ...pool('10.1.0.0/24', { gateway: '', ipRange: '' }) }, [one, two]);
    expect(three).toMatchObject({ ipam: { pools: [{ subnet: '10.1.0.0/24' }] }, chosen: [] });
    expect(three.ipam.pools[0]).not.toHaveProperty('gateway');
  });

  const known = plan({ name: 'known', ...pool('10.77.0.0/24'), options: { 'com.docker.network.bridge.name': 'br9' } });
  test.each<[string, Partial<CreateNetwork>, string, string]>([
    ['no name', { name: '' }, 'invalid', 'invalid name: '],
    ['a predefined name', { name: 'host' }, 'forbidden', 'operation is not permitted on predefined host network '],
    ['a known name', { name: 'known' }, 'alreadyExists', 'network with name known already exists'],
    ['an unknown driver', { driver: 'nosuch' }, 'notFound', 'plugin "nosuch" not found'],
    ['a second host network', { driver: 'host' }, 'forbidden', 'only one instance of "host" network is allowed'],
    [
      'an overlay',
      { driver: 'overlay' },
      'unavailable',
      'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.',
    ],
    ['an overlap', pool('10.77.0.0/25'), 'forbidden', 'Pool overlaps with other one on this address space'],
    ['the pods’ range', pool('10.244.7.0/24'), 'forbidden', 'Pool overlaps with other one on this address space'],
    [
      'no range',
      pool('bogus'),
      'invalid',
      'invalid network config:\ninvalid subnet bogus: invalid CIDR block notation',
    ],
    [
      'host bits',
      pool('10.1.2.3/8'),
      'invalid',
      'invalid network config:\ninvalid subnet 10.1.2.3/8: it should be 10.0.0.0/8',
    ],
    [
      'a range that is too large',
      pool('10.10.10.0/24', { ipRange: '10.0.0.0/8' }),
      'invalid',
      'invalid network config:\ninvalid ip-range 10.0.0.0/8: CIDR block is bigger than its parent subnet 10.10.10.0/24',
    ],
    [
      'everything elsewhere',
      pool('10.0.0.0/8', {
        ipRange: '192.168.0.1/24',
        gateway: '192.168.0.1',
        auxiliaryAddresses: { r: '::1', s: 'x' },
      }),
      'invalid',
      [
        'invalid network config:',
        'invalid ip-range 192.168.0.1/24: it should be 192.168.0.0/24',
        "invalid ip-range 192.168.0.1/24: parent subnet 10.0.0.0/8 doesn't contain ip-range",
        "invalid gateway 192.168.0.1: parent subnet 10.0.0.0/8 doesn't contain this address",
        'invalid auxiliary address r: parent subnet is an IPv4 block',
        'invalid auxiliary address s: invalid address',
      ].join('\n'),
    ],
    [
      'a loopback parent',
      { driver: 'macvlan', options: { parent: 'lo' } },
      'invalid',
      'loopback interface is not a valid macvlan parent link',
    ],
    [
      'a mode that is none',
      { driver: 'ipvlan', options: { ipvlan_mode: 'l9' } },
      'invalid',
      "requested ipvlan mode 'l9' is not valid, 'l2' mode is the ipvlan driver default",
    ],
  ])('%s is refused', (_what, request, code, message) => {
    expect(() => plan(request, [known])).toThrow(expect.objectContaining({ code, message }));
  });

  test('IPv6 ranges are not looked at without IPv6', () => {
    expect(plan(pool('fd00::1/64')).ipam.pools).toEqual([{ subnet: '172.17.0.0/16', gateway: '172.17.0.1' }]);
  });

  test('without a parent an interface on it leads nowhere', () => {
    expect(plan({ driver: 'macvlan' }).internal).toBe(true);
    expect(plan({ driver: 'macvlan', options: { parent: 'eth0' } })).toMatchObject({
      internal: false,
      bridge: undefined,
    });
  });
});

describe('options of drivers', () => {
  const bridge = (name: string, value: string) => readDriverOptions({ [`com.docker.network.bridge.${name}`]: value });
  test('mean what they mean to docker', () => {
    expect(readDriverOptions({ unknown: 'x' })).toMatchObject({
      interContainer: true,
      masquerade: true,
      interfacePrefix: 'eth',
    });
    expect(bridge('enable_icc', 'F').interContainer).toBe(false);
    expect(bridge('host_binding_ipv4', '127.0.0.1').hostBinding).toBe('127.0.0.1');
    expect(readDriverOptions({ 'com.docker.network.driver.mtu': '9000' }).mtu).toBe(9000);
  });

  test.each<[string, string, string]>([
    ['com.docker.network.bridge.enable_icc', 'yes', '(strconv.ParseBool: parsing "yes": invalid syntax)'],
    // Not a member of every object either.
    ['com.docker.network.bridge.enable_icc', 'constructor', 'invalid syntax'],
    ['com.docker.network.bridge.host_binding_ipv4', '1.2.3', '(nil ip)'],
    ['com.docker.network.driver.mtu', '1e3', '(strconv.Atoi: parsing "1e3": invalid syntax)'],
    ['com.docker.network.bridge.gateway_mode_ipv4', 'x', '(unknown gateway mode x)'],
  ])('%s=%s is refused', (name, value, why) => {
    const message = expect.stringMatching(`^failed to parse ${name} value: ${value} `);
    expect(() => readDriverOptions({ [name]: value })).toThrow(expect.objectContaining({ code: 'invalid', message }));
    expect(() => readDriverOptions({ [name]: value })).toThrow(why);
  });

  test.each(['a b', 'x"; drop', 'sixteen-letters-x', '../x', '-x', 'a\n'])('%j names no bridge', (name) => {
    expect(() => bridge('name', name)).toThrow(expect.objectContaining({ code: 'invalid' }));
  });
});

describe('a network that holds settings', () => {
  const config = plan({
    name: 'config',
    configOnly: true,
    ...pool('10.90.0.0/24'),
    options: { 'com.docker.network.driver.mtu': '1400' },
    labels: { a: 'b' },
  });

  test('gives them to others and takes no range', () => {
    expect(config).toMatchObject({ driver: 'null', configOnly: true, bridge: undefined });
    const user = plan({ configFrom: config.id, attachable: true }, [config]);
    expect(user).toMatchObject({
      driver: 'bridge',
      configFrom: 'config',
      attachable: true,
      ipam: { pools: [{ subnet: '10.90.0.0/24' }] },
      options: config.options,
      labels: { a: 'b' },
    });
    expect(user).not.toHaveProperty('configOnly');
  });

  const dependent = 'user specified configurations are not supported if the network depends on a configuration network';
  test.each<[string, Partial<CreateNetwork>, string, string]>([
    [
      'an operator’s field',
      { configOnly: true, internal: true },
      'forbidden',
      'configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported.',
    ],
    [
      'on both sides',
      { configOnly: true, configFrom: 'config' },
      'forbidden',
      'a configuration network cannot depend on another configuration network',
    ],
    ['own ranges', { configFrom: 'config', ...pool('10.91.0.0/24') }, 'forbidden', dependent],
    ['own labels', { configFrom: 'config', labels: { x: 'y' } }, 'forbidden', dependent],
    [
      'own options',
      { configFrom: 'config', options: { x: 'y' } },
      'forbidden',
      'network driver options are not supported if the network depends on a configuration network',
    ],
    ['none', { configFrom: 'nosuch' }, 'notFound', 'configuration network "nosuch" does not exist'],
  ])('%s is refused', (_what, request, code, message) => {
    expect(() => plan(request, [config])).toThrow(expect.objectContaining({ code, message }));
  });

  test('is none that one may join', () => {
    const { configOnly: _configOnly, ...joined } = config;
    expect(() => plan({ configFrom: 'config' }, [joined])).toThrow('configuration network "config" does not exist');
  });
});

test('networks are in docker’s order: priority, out before in, IPv6, name', () => {
  const network = (name: string, more: object = {}, gatewayPriority = 0) => ({
    gatewayPriority,
    network: { name, internal: false, enableIPv6: false, ...more },
  });
  const sorted = [
    network('inside6', { internal: true, enableIPv6: true }),
    network('inside', { internal: true }),
    network('b'),
    network('a'),
    network('six', { enableIPv6: true }),
    network('z', {}, 1),
  ].sort(byGateway);
  expect(sorted.map(({ network: { name } }) => name)).toEqual(['z', 'six', 'a', 'b', 'inside', 'inside6']);
});

describe('a connection that is asked for', () => {
  const network = plan({ name: 'n1', ...pool('10.0.0.0/24') });
  const check = (request: Partial<ConnectRequest>, record = network): void =>
    checkConnect(record, { containerId: 'c', containerName: 'c', ...request });
  const settings = 'invalid endpoint settings:\n';
  const notInside = 'no configured subnet or ip-range contain the IP address';
  const notChosen =
    'user specified IP address is supported only when connecting to networks with user configured subnets';
  test.each<[string, Partial<ConnectRequest>, string]>([
    [
      'no address',
      { ipv4: 'x', ipv6: '10.0.0.1' },
      `${settings}* invalid IPv4 address: x\n* invalid IPv6 address: 10.0.0.1\n* ${notInside} x\n* ${notChosen}`,
    ],
    ['the address of none', { ipv4: '0.0.0.0' }, `${settings}* invalid IPv4 address: 0.0.0.0\n* ${notInside} 0.0.0.0`],
    ['elsewhere', { ipv4: '1.2.3.4' }, `${settings}${notInside} 1.2.3.4`],
    ['IPv6 where there is none', { ipv6: 'fd00::1' }, `${settings}${notChosen}`],
    ['a link’s address that is none', { linkLocal: ['x'] }, `${settings}invalid link-local IP address: x`],
    ['an address that is no link’s', { linkLocal: ['1.2.3.4'] }, 'invalid link local IP address: 1.2.3.4'],
    ['no MAC address', { mac: '02:42' }, 'invalid MAC address: 02:42'],
    ['no interface name', { interfaceName: 'a/b' }, 'invalid interface name: a/b'],
  ])('%s is refused', (_what, request, message) => {
    expect(() => check(request)).toThrow(expect.objectContaining({ code: 'invalid', message }));
  });

  test('where docker chose the range, addresses cannot be had', () => {
    expect(() => check({ ipv4: '10.0.0.1' })).not.toThrow();
    expect(() => check({ ipv4: '172.17.0.9' }, plan({ name: 'n2' }))).toThrow(`${settings}${notChosen}`);
    expect(() => check({ aliases: ['x'] }, { ...network, predefined: true })).toThrow(
      'network-scoped alias is supported only for containers in user defined networks',
    );
  });
});
