import { isIP } from 'node:net';
import { WherryError } from '@wherry/base';
import { isUserDefined } from '../config/modes.ts';
import type { ContainerConfig, EndpointSettings, HostConfig } from '../config/types.ts';

export const noEndpointSettings: EndpointSettings = {
  IPAMConfig: null,
  Links: null,
  Aliases: null,
  MacAddress: '',
  DriverOpts: null,
  GwPriority: 0,
};

/** The endpoints of a new container by network name; the first one is that of its network mode. */
export function plannedEndpoints(
  config: ContainerConfig,
  host: HostConfig,
  given: Readonly<Record<string, EndpointSettings>>,
  nameOf: (network: string) => string,
): Record<string, EndpointSettings> {
  const mode = host.NetworkMode;
  if (mode.startsWith('container:') || config.NetworkDisabled === true) return {};
  const endpoints: Record<string, EndpointSettings> = {};
  const asked: Record<string, EndpointSettings> = {};
  for (const [network, settings] of Object.entries(given))
    asked[nameOf(network === 'default' ? 'bridge' : network)] = settings;
  const first = nameOf(mode);
  // The older field for the address of the first network's interface.
  const mac = config.MacAddress ?? '';
  const own = asked[first] ?? noEndpointSettings;
  if (mac !== '' && own.MacAddress !== '' && mac !== own.MacAddress)
    throw new WherryError(
      'invalid',
      'the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty',
    );
  endpoints[first] = { ...own, MacAddress: own.MacAddress || mac };
  for (const [network, settings] of Object.entries(asked)) endpoints[network] ??= settings;
  for (const [network, settings] of Object.entries(endpoints)) checkEndpoint(network, settings);
  return endpoints;
}

/** What can be said of an endpoint without its network. */
export function checkEndpoint(network: string, settings: EndpointSettings): void {
  const wrong: string[] = [];
  const { IPv4Address: v4 = '', IPv6Address: v6 = '', LinkLocalIPs: local = [] } = settings.IPAMConfig ?? {};
  if (!isUserDefined(network) && (v4 !== '' || v6 !== '' || local.length > 0))
    throw new WherryError('invalid', 'user specified IP address is supported on user defined networks only');
  if (!isUserDefined(network) && network !== 'bridge' && (settings.Aliases ?? []).length > 0)
    throw new WherryError('invalid', 'network-scoped alias is supported only for containers in user defined networks');
  if (v4 !== '' && isIP(v4) !== 4) wrong.push(`invalid IPv4 address: ${v4}`);
  if (v6 !== '' && isIP(v6) !== 6) wrong.push(`invalid IPv6 address: ${v6}`);
  for (const address of local) if (isIP(address) === 0) wrong.push(`invalid link-local IP address: ${address}`);
  if (settings.MacAddress !== '' && !/^[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}$/i.test(settings.MacAddress))
    wrong.push(`invalid MAC address: ${settings.MacAddress}`);
  if (wrong.length > 0)
    throw new WherryError(
      'invalid',
      `invalid config for network ${network}: invalid endpoint settings:\n${wrong.join('\n')}`,
    );
}
