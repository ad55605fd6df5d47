import { WherryError } from '@wherry/base';
import type { JsonObject } from '@wherry/docker';
import type { CreateNetwork, IpamConfig } from '@wherry/network';
import { BodyFields } from '../http/body-fields.ts';
import { notSwarmManager } from '../swarm/routes.ts';

/** What `POST /networks/create` asks for. Throws `invalid`, `forbidden`, `unsupported`. */
export function networkToCreate(body: JsonObject): CreateNetwork {
  const fields = new BodyFields(body, 'NetworkCreateRequest');
  const driver = fields.text('Driver');
  if (driver === 'overlay') throw new WherryError('forbidden', notSwarmManager);
  if (fields.text('Scope') === 'swarm') {
    throw new WherryError('forbidden', 'cannot create a swarm scoped network when swarm is not active');
  }
  const configFrom = fields.object('ConfigFrom', 'network.ConfigReference')?.text('Network') ?? '';
  return {
    name: fields.text('Name'),
    driver: driver === '' ? undefined : driver,
    internal: fields.flag('Internal'),
    attachable: fields.flag('Attachable'),
    ingress: fields.flag('Ingress'),
    scope: fields.text('Scope') || undefined,
    configOnly: fields.flag('ConfigOnly'),
    configFrom: configFrom === '' ? undefined : configFrom,
    enableIPv4: fields.optionalFlag('EnableIPv4'),
    enableIPv6: fields.optionalFlag('EnableIPv6'),
    ipam: ipamOf(fields.object('IPAM', 'network.IPAM')),
    options: fields.texts('Options') ?? {},
    labels: fields.texts('Labels') ?? {},
  };
}

function ipamOf(fields: BodyFields | undefined): IpamConfig | undefined {
  if (fields === undefined) return undefined;
  const pools = (fields.objects('Config', 'network.IPAMConfig') ?? []).map((pool) => ({
    subnet: pool.text('Subnet'),
    ipRange: pool.text('IPRange') || undefined,
    gateway: pool.text('Gateway') || undefined,
    auxiliaryAddresses: pool.texts('AuxiliaryAddresses') ?? pool.texts('AuxAddress'),
  }));
  return { driver: fields.text('Driver') || 'default', options: fields.texts('Options'), pools };
}
