import { WherryError } from '@wherry/base';
import { addressProblems, formatProblems, type NetworkRecord, problemLines } from '@wherry/network';
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
  find: (network: string) => NetworkRecord | undefined,
): Record<string, EndpointSettings> {
  const mode = host.NetworkMode;
  const nameOf = (network: string): string => find(network)?.name ?? network;
  if (mode.startsWith('container:')) for (const settings of Object.values(given)) refuseAddresses(mode, settings);
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
  for (const [network, settings] of Object.entries(endpoints))
    inNetwork(network, () => checkEndpoint(network, settings, find(network)));
  return endpoints;
}

/** A container that has another's network has no addresses of its own. */
function refuseAddresses(mode: string, { IPAMConfig }: EndpointSettings): void {
  if ((IPAMConfig?.IPv4Address ?? '') === '' && (IPAMConfig?.IPv6Address ?? '') === '') return;
  const why = 'user specified IP address is supported on user defined networks only';
  throw new WherryError('invalid', `invalid config for network ${mode}: invalid endpoint settings:\n${why}`);
}

/** Checks an endpoint; `record` is its network, where there is one by now. Throws `invalid`. */
export function checkEndpoint(network: string, settings: EndpointSettings, record: NetworkRecord | undefined): void {
  const wrong: string[] = [];
  const refusal = 'is supported only when connecting to networks with user configured subnets';
  const { IPv4Address: v4 = '', IPv6Address: v6 = '', LinkLocalIPs: local } = settings.IPAMConfig ?? {};
  const predefined = !isUserDefined(network);
  if (predefined && (v4 !== '' || v6 !== ''))
    wrong.push('user specified IP address is supported on user defined networks only');
  if (predefined && (settings.Aliases ?? []).length > 0)
    wrong.push('network-scoped alias is supported only for containers in user defined networks');
  const wanted = { ipv4: v4 || undefined, ipv6: v6 || undefined, linkLocal: local };
  wrong.push(...(predefined || record === undefined ? formatProblems(wanted) : addressProblems(record, wanted)));
  if (predefined)
    for (const address of [v4, v6]) if (address !== '') wrong.push(`user specified IP address ${refusal}`);
  if (settings.MacAddress !== '' && !/^[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}$/i.test(settings.MacAddress))
    throw new WherryError('invalid', `invalid MAC address ${settings.MacAddress}`);
  if (wrong.length > 0) throw new WherryError('invalid', `invalid endpoint settings:\n${problemLines(wrong)}`);
}

/** Whatever a container's endpoint is refused for when it is created or started is told with the network's name. */
function inNetwork<T>(network: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw namingNetwork(network, error);
  }
}

export function namingNetwork(network: string, error: unknown): unknown {
  if (!(error instanceof WherryError) || !/^invalid (?:endpoint settings:|MAC address )/.test(error.message))
    return error;
  return new WherryError('invalid', `invalid config for network ${network}: ${error.message}`, { cause: error });
}
