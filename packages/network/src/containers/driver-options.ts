import { parseIp, WherryError } from '@wherry/base';

/** How packets come to a network's containers from elsewhere (`com.docker.network.bridge.gateway_mode_ipv4`). */
const gatewayModes = ['nat', 'nat-unprotected', 'routed', 'isolated'] as const;
export type GatewayMode = (typeof gatewayModes)[number];

/** What the `com.docker.network.*` options of a network mean. */
export interface DriverOptions {
  readonly bridgeName: string | undefined;
  /** Containers of the network may talk to each other. */
  readonly interContainer: boolean;
  readonly masquerade: boolean;
  /** The bridge has no address of its own. */
  readonly withoutGateway: boolean;
  /** Where ports are published when the request does not say. */
  readonly hostBinding: string | undefined;
  readonly mtu: number | undefined;
  /** `eth` unless told otherwise. */
  readonly interfacePrefix: string;
  readonly gatewayMode4: GatewayMode;
  readonly gatewayMode6: GatewayMode;
  /** The address that packets leave with. */
  readonly sourceAddress4: string | undefined;
  readonly sourceAddress6: string | undefined;
  /** Of macvlan and ipvlan. */
  readonly parent: string | undefined;
  readonly macvlanMode: 'bridge' | 'private' | 'vepa' | 'passthru';
  readonly ipvlanMode: 'l2' | 'l3' | 'l3s';
  readonly ipvlanFlag: 'bridge' | 'private' | 'vepa';
}

/** As Go's strconv.ParseBool takes them. */
const booleans: Readonly<Record<string, boolean>> = Object.fromEntries([
  ...['1', 't', 'T', 'TRUE', 'true', 'True'].map((text) => [text, true]),
  ...['0', 'f', 'F', 'FALSE', 'false', 'False'].map((text) => [text, false]),
]);

/** Reads the options of a network; those that are not known are kept and ignored. Throws `invalid` in docker's words. */
export function readDriverOptions(options: Readonly<Record<string, string>>): DriverOptions {
  const bridge = (name: string): string => `com.docker.network.bridge.${name}`;
  const flag = (name: string, otherwise: boolean): boolean => {
    const value = options[name];
    if (value === undefined) return otherwise;
    const meaning = Object.hasOwn(booleans, value) ? booleans[value] : undefined;
    return meaning ?? refuse(name, value, `strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax`);
  };
  const address = (name: string, ...lengths: (4 | 16)[]): string | undefined => {
    const value = options[name];
    if (value === undefined || value === '') return undefined;
    return lengths.some((length) => parseIp(value)?.length === length) ? value : refuse(name, value, 'nil ip');
  };
  const mode = (name: string): GatewayMode => {
    const value = options[name] ?? 'nat';
    return gatewayModes.find((known) => known === value) ?? refuse(name, value, `unknown gateway mode ${value}`);
  };
  return {
    bridgeName: bridgeName(options[bridge('name')]),
    interContainer: flag(bridge('enable_icc'), true),
    masquerade: flag(bridge('enable_ip_masquerade'), true),
    withoutGateway: flag(bridge('inhibit_ipv4'), false),
    // In spite of its name dockerd takes addresses of both families.
    hostBinding: address(bridge('host_binding_ipv4'), 4, 16),
    mtu: mtu(options['com.docker.network.driver.mtu']),
    interfacePrefix: interfacePrefix(options['com.docker.network.container_iface_prefix']),
    gatewayMode4: mode(bridge('gateway_mode_ipv4')),
    gatewayMode6: mode(bridge('gateway_mode_ipv6')),
    sourceAddress4: address('com.docker.network.host_ipv4', 4),
    sourceAddress6: address('com.docker.network.host_ipv6', 16),
    parent: options.parent || undefined,
    ...sharedModes(options),
  };
}

function refuse(name: string, value: string, why: string): never {
  throw new WherryError('invalid', `failed to parse ${name} value: ${value} (${why})`);
}

function mtu(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const name = 'com.docker.network.driver.mtu';
  if (!/^[+-]?\d{1,10}$/.test(value)) {
    refuse(name, value, `strconv.Atoi: parsing ${JSON.stringify(value)}: invalid syntax`);
  }
  const number = Number(value);
  if (number < 0 || number > 65_535) throw new WherryError('invalid', `invalid MTU number: ${number}`);
  return number === 0 ? undefined : number;
}

/** It becomes part of rules, so that nothing but letters, digits and a few signs may be in it. */
function bridgeName(value: string | undefined): string | undefined {
  if (value === undefined || value === '') return undefined;
  if (/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$/.test(value)) return value;
  throw new WherryError(
    'invalid',
    `invalid bridge name "${value.slice(0, 64)}": at most 15 letters, digits, ".", "_" and "-"`,
  );
}

function interfacePrefix(value: string | undefined): string {
  if (value === undefined || value === '') return 'eth';
  if (/^[A-Za-z0-9_.-]{1,12}$/.test(value)) return value;
  throw new WherryError('invalid', `invalid interface prefix "${value.slice(0, 64)}"`);
}

function sharedModes(
  options: Readonly<Record<string, string>>,
): Pick<DriverOptions, 'macvlanMode' | 'ipvlanMode' | 'ipvlanFlag'> {
  const macvlanMode = options.macvlan_mode || 'bridge';
  const ipvlanMode = options.ipvlan_mode || 'l2';
  const ipvlanFlag = options.ipvlan_flag || 'bridge';
  const invalid = (text: string): WherryError => new WherryError('invalid', text);
  if (!isOneOf(macvlanMode, ['bridge', 'private', 'vepa', 'passthru'])) {
    throw invalid(`requested macvlan mode '${macvlanMode}' is not valid, 'bridge' mode is the macvlan driver default`);
  }
  if (!isOneOf(ipvlanMode, ['l2', 'l3', 'l3s'])) {
    throw invalid(`requested ipvlan mode '${ipvlanMode}' is not valid, 'l2' mode is the ipvlan driver default`);
  }
  if (!isOneOf(ipvlanFlag, ['bridge', 'private', 'vepa'])) {
    throw invalid(`requested ipvlan flag '${ipvlanFlag}' is not valid, 'bridge' is the ipvlan driver default flag`);
  }
  return { macvlanMode, ipvlanMode, ipvlanFlag };
}

function isOneOf<T extends string>(value: string, known: readonly T[]): value is T {
  return known.some((one) => one === value);
}
