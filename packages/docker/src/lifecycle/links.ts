import { codeOf, messageOf, WherryError } from '@wherry/base';
import { byPort, exposedPorts } from '../config/ports.ts';
import type { Container } from '../containers/container.ts';
import type { DockerContext } from '../containers/context.ts';
import { linkNames } from '../containers/link-names.ts';

export interface Link {
  readonly alias: string;
  readonly target: Container;
}

/** `--link NAME[:ALIAS]`. Throws dockerd's words for one that is not there. */
export function linksOf(context: DockerContext, links: readonly string[] | null): Link[] {
  return (links ?? []).map((text) => {
    const [name = '', alias] = text.split(':', 2);
    try {
      const target = context.registry.find(name);
      return { target, alias: (alias || name).split('/').at(-1) ?? name };
    } catch (error) {
      throw new WherryError('invalid', `could not get container for ${name}: ${messageOf(error)}`, { cause: error });
    }
  });
}

/** The same for names in a network that a user made: what is not there is passed over, as with dockerd. */
export function linksThere(context: DockerContext, links: readonly string[] | null): Link[] {
  return (links ?? []).flatMap((link) => {
    try {
      return linksOf(context, [link]);
    } catch (error) {
      if (codeOf(error) !== 'invalid') throw error;
      return [];
    }
  });
}

/** The links of a container on the default bridge that starts. Throws in dockerd's words for one that is gone. */
export function linksOfStart(context: DockerContext, container: Container): Link[] {
  return linkNames(container.record).map(({ target: name, alias }) => {
    const target = context.registry.lookUp(name);
    if (target === undefined) throw notRunning(name, container, alias);
    return { target, alias };
  });
}

function notRunning(name: string, container: Container, alias: string): WherryError {
  return new WherryError('conflict', `Cannot link to a non running container: /${name} AS /${container.name}/${alias}`);
}

/** Links on the default bridge need running containers of it. */
export function checkDefaultLinks(context: DockerContext, container: Container, links: readonly Link[]): void {
  for (const { alias, target } of links) {
    if (!target.alive) throw notRunning(target.name, container, alias);
    if (addressOn(context, target, 'bridge') === undefined)
      throw new WherryError('internal', `Cannot link to /${target.name}, as it does not belong to the default network`);
  }
}

export function addressOn({ networks }: DockerContext, { id }: Container, network: string): string | undefined {
  return networks.endpoints(id).find((endpoint) => endpoint.network.name === network)?.ipv4?.address;
}

/** The variables of links on the default bridge (`ALIAS_PORT_80_TCP_ADDR`, …). */
export function linkVariables(context: DockerContext, container: Container, links: readonly Link[]): string[] {
  return links.flatMap(({ alias, target }) => {
    const address = addressOn(context, target, 'bridge');
    if (address === undefined) return [];
    const prefix = alias.toUpperCase().replaceAll('-', '_');
    const ports = exposedPorts(target.record.config).sort(byPort);
    const url = (port: string): string => `${port.split('/')[1]}://${address}:${port.split('/')[0]}`;
    const variables = ports[0] === undefined ? [] : [`${prefix}_PORT=${url(ports[0])}`];
    variables.push(`${prefix}_NAME=/${container.name}/${alias}`);
    for (const [first = '', last = ''] of portRuns(ports)) {
      const [number = '', protocol = ''] = first.split('/');
      const name = `${prefix}_PORT_${number}_${protocol.toUpperCase()}`;
      variables.push(
        `${name}_START=${url(first)}`,
        `${name}_PORT_START=${number}`,
        `${name}_END=${url(last)}`,
        `${name}_PORT_END=${last.split('/')[0]}`,
      );
    }
    for (const port of ports) {
      const [number = '', protocol = ''] = port.split('/');
      const name = `${prefix}_PORT_${number}_${protocol.toUpperCase()}`;
      variables.push(
        `${name}=${url(port)}`,
        `${name}_ADDR=${address}`,
        `${name}_PORT=${number}`,
        `${name}_PROTO=${protocol}`,
      );
    }
    for (const variable of target.record.config.Env ?? [])
      if (variable.includes('=') && !/^(?:PATH|HOME|HOSTNAME)=/.test(variable))
        variables.push(`${prefix}_ENV_${variable}`);
    return variables;
  });
}

/** First and last of each three or more ports of a protocol in a row, as docker tells of them. */
function portRuns(ports: readonly string[]): (readonly [first: string, last: string])[] {
  const runs: (readonly [string, string])[] = [];
  for (let at = 0, end = 0; at < ports.length; at = end + 1) {
    end = at;
    const [number, protocol] = ports[at]!.split('/');
    while (ports[end + 1] === `${Number(number) + end + 1 - at}/${protocol}`) end++;
    if (end > at + 1) runs.push([ports[at]!, ports[end]!]);
  }
  return runs;
}
