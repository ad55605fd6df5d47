import { expect, test } from 'vitest';
import type { EndpointSettings } from '../config/types.ts';
import { checkEndpoint, noEndpointSettings } from './create-networks.ts';

const wrongIn = (network: string, settings: Partial<EndpointSettings>): string | undefined => {
  try {
    checkEndpoint(network, { ...noEndpointSettings, ...settings }, undefined);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
};

const only = 'user specified IP address is supported on user defined networks only';
const subnets = 'user specified IP address is supported only when connecting to networks with user configured subnets';

test.each<[string, Partial<EndpointSettings>, string[]]>([
  ['bridge', { IPAMConfig: { IPv4Address: '10.0.0.1' } }, [only, subnets]],
  ['bridge', { IPAMConfig: { IPv4Address: '10.0.0.1', IPv6Address: 'fd00::1' } }, [only, subnets, subnets]],
  ['bridge', { IPAMConfig: { IPv4Address: 'fd00::1' } }, [only, 'invalid IPv4 address: fd00::1', subnets]],
  [
    'host',
    { IPAMConfig: { IPv6Address: 'x' }, Aliases: ['a'] },
    [
      only,
      'network-scoped alias is supported only for containers in user defined networks',
      'invalid IPv6 address: x',
      subnets,
    ],
  ],
])('an endpoint of %s with %j is refused, all that is wrong in dockerd’s order', (network, settings, problems) => {
  expect(wrongIn(network, settings)).toBe(
    `invalid endpoint settings:\n${problems.map((problem) => `* ${problem}`).join('\n')}`,
  );
});

test('one problem stands alone; of a network that is not there yet only what can be said without it', () => {
  expect(wrongIn('bridge', { IPAMConfig: { LinkLocalIPs: ['nosuch'] } })).toBe(
    'invalid endpoint settings:\ninvalid link-local IP address: nosuch',
  );
  expect(wrongIn('mine', { IPAMConfig: { IPv4Address: 'x' } })).toBe(
    'invalid endpoint settings:\ninvalid IPv4 address: x',
  );
  expect(wrongIn('mine', { IPAMConfig: { IPv4Address: '10.0.0.1', LinkLocalIPs: ['169.254.1.1'] } })).toBeUndefined();
  expect(wrongIn('bridge', { IPAMConfig: { LinkLocalIPs: ['169.254.1.1'] } })).toBeUndefined();
  expect(wrongIn('mine', { MacAddress: '02:42' })).toBe('invalid MAC address 02:42');
});
