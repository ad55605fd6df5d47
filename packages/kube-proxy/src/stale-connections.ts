import { forgetConnection, listConnections, NetlinkSocket, netlinkFamily, type TrackedConnection } from '@wherry/linux';
import type { PortPlan } from './service-plan.ts';

const udp = 17;

/**
 * Makes the kernel forget UDP "connections" through these ports that are answered by something that
 * is no endpoint (any more). UDP has no end of connection: a client that keeps its port would talk
 * to a removed endpoint for as long as it talks. Reads the whole connection table: call it for
 * changed UDP services only. Gives the number forgotten.
 */
export function forgetStaleConnections(netns: string | undefined, ports: readonly PortPlan[]): number {
  const datagrams = ports.filter((port) => port.protocol === 'udp');
  if (datagrams.length === 0) return 0;
  using socket = NetlinkSocket.open({ netns, family: netlinkFamily.netfilter });
  const stale = listConnections(socket).filter((connection) => datagrams.some((port) => isStale(connection, port)));
  for (const connection of stale) forgetConnection(socket, connection);
  return stale.length;
}

function isStale(connection: TrackedConnection, port: PortPlan): boolean {
  const { destination, destinationPort, answeredBy, answeredByPort } = connection;
  if (connection.protocol !== udp) return false;
  const byAddress =
    destinationPort === port.port && (port.clusterIps.includes(destination) || port.externalIps.includes(destination));
  // A node port has many addresses; only what was translated went through it.
  const byNodePort = destinationPort === port.nodePort && answeredBy !== destination;
  if (!byAddress && !byNodePort) return false;
  return !port.endpoints.some(({ ip, port: number }) => ip === answeredBy && number === answeredByPort);
}
