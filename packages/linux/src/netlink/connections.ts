import { codeOf, formatIp } from '@wherry/base';
import { decodeAttributes, encodeAttributes } from './attributes.ts';
import type { NetlinkRequest, NetlinkSocket } from './netlink-socket.ts';

// NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_{NEW,GET,DELETE} (linux/netfilter/nfnetlink_conntrack.h).
const newConnection = 0x100;
const getConnections = 0x101;
const deleteConnectionType = 0x102;
const attribute = { original: 1, reply: 2 } as const;
const tuple = { addresses: 1, protocol: 2 } as const;
const addresses = { source: 1, destination: 2 } as const;
const protocol = { number: 1, sourcePort: 2, destinationPort: 3 } as const;
const nested = 0x8000;

/** `struct nfgenmsg` for IPv4. */
const header = Uint8Array.of(2, 0, 0, 0);

/** A connection that the kernel tracks: as its first packet said, and who answers (another than asked, when translated). IPv4. */
export interface TrackedConnection {
  /** IP protocol number: 6 TCP, 17 UDP. */
  readonly protocol: number;
  readonly destination: string;
  readonly destinationPort: number;
  readonly answeredBy: string;
  readonly answeredByPort: number;
  /** What names it to the kernel. */
  readonly original: Buffer;
}

/** The tracked IPv4 connections of the socket's namespace (a socket of the family `netfilter`). */
export function listConnections(socket: NetlinkSocket): TrackedConnection[] {
  const found: TrackedConnection[] = [];
  for (const { type, body } of socket.dump({ what: 'list connections', type: getConnections, body: header })) {
    if (type !== newConnection) continue;
    const attributes = decodeAttributes(body.subarray(4));
    const [original, reply] = [attributes.get(attribute.original), attributes.get(attribute.reply)];
    if (original === undefined || reply === undefined) continue;
    const [asked, answer] = [endsOf(original), endsOf(reply)];
    if (asked === undefined || answer === undefined) continue;
    found.push({
      protocol: asked.protocol,
      destination: asked.destination,
      destinationPort: asked.destinationPort,
      answeredBy: answer.source,
      answeredByPort: answer.sourcePort,
      original,
    });
  }
  return found;
}

function endsOf(bytes: Buffer) {
  const parts = decodeAttributes(bytes);
  const ips = decodeAttributes(parts.get(tuple.addresses) ?? Buffer.alloc(0));
  const ports = decodeAttributes(parts.get(tuple.protocol) ?? Buffer.alloc(0));
  const [source, destination] = [ips.get(addresses.source), ips.get(addresses.destination)];
  if (source === undefined || destination === undefined) return undefined;
  return {
    protocol: ports.get(protocol.number)?.[0] ?? 0,
    source: formatIp(source),
    destination: formatIp(destination),
    sourcePort: ports.get(protocol.sourcePort)?.readUInt16BE(0) ?? 0,
    destinationPort: ports.get(protocol.destinationPort)?.readUInt16BE(0) ?? 0,
  };
}

/** Makes the kernel forget a connection, so that its next packet is looked at anew; one that ended meanwhile is no error. */
export function forgetConnection(socket: NetlinkSocket, connection: TrackedConnection): void {
  const body = Buffer.concat([header, encodeAttributes([[attribute.original | nested, connection.original]])]);
  const request: NetlinkRequest = { what: 'forget a connection', type: deleteConnectionType, body };
  try {
    socket.execute(request);
  } catch (error) {
    if (codeOf(error) !== 'notFound') throw error;
  }
}
