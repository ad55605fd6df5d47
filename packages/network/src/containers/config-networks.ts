import { WherryError } from '@wherry/base';
import type { CreateNetwork, NetworkRecord } from '../container-networks.ts';

/**
 * Checks a network that holds settings for others, or has those of one, as dockerd does (`validateConfiguration`).
 * Throws `forbidden`.
 */
export function checkConfigUse(request: CreateNetwork): void {
  const { configOnly = false, configFrom = '' } = request;
  const refuse = (text: string): never => {
    throw new WherryError('forbidden', text);
  };
  if (configOnly && (request.ingress || request.internal || request.attachable || (request.scope ?? '') !== '')) {
    refuse(
      'configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported.',
    );
  }
  if (configFrom === '') return;
  if (configOnly) refuse('a configuration network cannot depend on another configuration network');
  const { driver = 'default', options = {}, pools = [] } = request.ipam ?? {};
  const own = { ...options, ...request.labels };
  if (driver !== 'default' || request.enableIPv6 || pools.length > 0 || Object.keys(own).length > 0) {
    refuse('user specified configurations are not supported if the network depends on a configuration network');
  }
  if (Object.keys(request.options ?? {}).length > 0) {
    refuse('network driver options are not supported if the network depends on a configuration network');
  }
}

/** The request with the settings of the network that it names. Throws `notFound`. */
export function withConfigFrom(request: CreateNetwork, networks: readonly NetworkRecord[]): CreateNetwork {
  const { configFrom = '' } = request;
  if (configFrom === '') return request;
  const config = networks.find(({ configOnly, name, id }) => configOnly && (name === configFrom || id === configFrom));
  if (config === undefined) {
    throw new WherryError('notFound', `configuration network ${JSON.stringify(configFrom)} does not exist`);
  }
  const { name, ipam, enableIPv4, enableIPv6, options, labels } = config;
  return { ...request, configFrom: name, ipam, enableIPv4, enableIPv6, options, labels };
}
