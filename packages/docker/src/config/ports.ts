import { isIP } from 'node:net';
import { WherryError } from '@wherry/base';
import type { PortRequest } from '@wherry/network';
import type { ContainerConfig, HostConfig, PortBinding } from './types.ts';

export type PortProtocol = 'tcp' | 'udp' | 'sctp';

export interface ContainerPort {
  readonly port: number;
  readonly protocol: PortProtocol;
}

/** `80/tcp`, `80` (tcp). Throws dockerd's words. */
export function parsePort(text: string): ContainerPort {
  const [port = '', protocol = 'tcp'] = text.split('/');
  const number = portNumber(port);
  if (number === undefined || port === '')
    throw new WherryError('invalid', `invalid port specification: ${JSON.stringify(port)}`);
  const lower = protocol.toLowerCase();
  if (lower !== 'tcp' && lower !== 'udp' && lower !== 'sctp')
    throw new WherryError('invalid', `invalid port specification: ${JSON.stringify(text)}`);
  return { port: number, protocol: lower };
}

function portNumber(text: string): number | undefined {
  return /^[0-9]{1,5}$/.test(text) && Number(text) <= 65535 ? Number(text) : undefined;
}

/** `8080`, `` (any), `8000-8010` (the first free one). */
function hostPort(text: string): PortRequest['hostPort'] {
  if (text === '') return undefined;
  const [first = '', last] = text.split('-');
  const low = portNumber(first);
  const high = last === undefined ? low : portNumber(last);
  if (low === undefined || high === undefined || high < low || text.split('-').length > 2)
    throw new WherryError('invalid', `invalid port specification: ${JSON.stringify(text)}`);
  return high === low ? low : [low, high];
}

/** Checks `PortBindings`; they are kept as they were given. */
export function checkPortBindings(bindings: Readonly<Record<string, readonly PortBinding[]>>): void {
  for (const [port, list] of Object.entries(bindings)) {
    parsePort(port);
    for (const binding of list) {
      hostPort(binding.HostPort);
      if (binding.HostIp !== '' && isIP(binding.HostIp) === 0)
        throw new WherryError('invalid', `invalid IP address: ${binding.HostIp}`);
    }
  }
}

export function portKey({ port, protocol }: ContainerPort): string {
  return `${port}/${protocol}`;
}

/** What is to be published when the container starts: the bindings, and with `-P` all other exposed ports. */
export function portRequests(config: ContainerConfig, host: HostConfig): PortRequest[] {
  const requests: PortRequest[] = [];
  const ports = new Map<string, readonly PortBinding[]>();
  for (const [port, list] of Object.entries(host.PortBindings ?? {})) ports.set(portKey(parsePort(port)), list);
  if (host.PublishAllPorts)
    for (const key of exposedPorts(config)) if (!ports.has(key)) ports.set(key, [{ HostIp: '', HostPort: '' }]);
  for (const key of [...ports.keys()].sort(byPort)) {
    const { port, protocol } = parsePort(key);
    for (const binding of ports.get(key) ?? [])
      requests.push({
        protocol: protocol.toUpperCase() as PortRequest['protocol'],
        containerPort: port,
        hostIp: binding.HostIp === '' ? undefined : binding.HostIp,
        hostPort: hostPort(binding.HostPort),
      });
  }
  return requests;
}

/** The exposed ports by their keys. An image may expose what is no port, which then is none. */
export function exposedPorts({ ExposedPorts }: Pick<ContainerConfig, 'ExposedPorts'>): string[] {
  return Object.keys(ExposedPorts ?? {}).flatMap((text) => {
    try {
      return [portKey(parsePort(text))];
    } catch {
      return [];
    }
  });
}

/** By number, then protocol. */
export function byPort(left: string, right: string): number {
  const a = parsePort(left);
  const b = parsePort(right);
  return a.port - b.port || (a.protocol < b.protocol ? -1 : a.protocol > b.protocol ? 1 : 0);
}
