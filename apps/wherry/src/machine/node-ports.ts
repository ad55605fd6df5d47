import type { V1Service } from '@wherry/api';
import type { Informer } from '@wherry/client';
import type { PortHolder } from '@wherry/network';

/** The services that have a port of every node, on whichever of its addresses. */
export function nodePortHolder(services: Pick<Informer<V1Service>, 'list'>): PortHolder {
  return ({ protocol, hostPort }) => {
    const holder = services
      .list()
      .find(({ spec }) =>
        spec?.ports?.some((port) => port.nodePort === hostPort && (port.protocol ?? 'TCP') === protocol),
      );
    return holder && `service ${holder.metadata?.namespace}/${holder.metadata?.name}`;
  };
}
