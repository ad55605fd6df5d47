import packet, { type Answer, type DecodedPacket, type Packet, type Question } from 'dns-packet';

/** Response codes (RFC 1035, 4.1.1) that are used here. */
export const rcodes = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const;
export type Rcode = keyof typeof rcodes;

/** A response code as dns-packet names it in a decoded packet (its types leave it out). */
export function rcodeOf(answer: DecodedPacket): string {
  return (answer as { rcode?: string }).rcode ?? 'NOERROR';
}

/** A query that may be answered, or why it may not. */
export type ParsedQuery =
  | {
      readonly kind: 'query';
      readonly id: number;
      readonly question: Question;
      readonly recursion: boolean;
      readonly udpSize: number;
      readonly edns: boolean;
    }
  | { readonly kind: 'refused'; readonly response: Buffer }
  | { readonly kind: 'ignored' };

const headerLength = 12;
const smallestUdp = 512;
const largestUdp = 1232;

/** Reads what came from the network. Responses and scraps are ignored, so that two servers never answer each other for ever. */
export function parseQuery(data: Buffer): ParsedQuery {
  if (data.length < headerLength || (data.readUInt8(2) & 0x80) !== 0) return { kind: 'ignored' };
  const id = data.readUInt16BE(0);
  if (((data.readUInt8(2) >> 3) & 15) !== 0) return { kind: 'refused', response: bare(id, data, 'NOTIMP') };
  if (data.readUInt16BE(4) !== 1) return { kind: 'refused', response: bare(id, data, 'FORMERR') };
  let decoded: DecodedPacket;
  try {
    decoded = packet.decode(data);
  } catch {
    return { kind: 'refused', response: bare(id, data, 'FORMERR') };
  }
  const [question] = decoded.questions ?? [];
  if (question === undefined) return { kind: 'refused', response: bare(id, data, 'FORMERR') };
  if (question.class !== 'IN') return { kind: 'refused', response: bare(id, data, 'REFUSED') };
  const opt = decoded.additionals?.find((record) => record.type === 'OPT');
  const size = opt?.type === 'OPT' ? opt.udpPayloadSize : smallestUdp;
  const udpSize = Math.min(Math.max(size, smallestUdp), largestUdp);
  return { kind: 'query', id, question, recursion: decoded.flag_rd, udpSize, edns: opt !== undefined };
}

/** A header with a response code and nothing else. */
function bare(id: number, query: Buffer, rcode: Rcode): Buffer {
  const response = Buffer.alloc(headerLength);
  response.writeUInt16BE(id, 0);
  // Response, the query's opcode and "recursion desired".
  response.writeUInt8(0x80 | (query.readUInt8(2) & 0x79), 2);
  response.writeUInt8(rcodes[rcode], 3);
  return response;
}

/** What to say to a query. */
export interface Reply {
  readonly rcode: Rcode;
  readonly authoritative: boolean;
  /** Nobody could be asked: recursion was not available. */
  readonly unanswered?: boolean | undefined;
  readonly answers: readonly Answer[];
  readonly authorities: readonly Answer[];
  readonly additionals: readonly Answer[];
}

/** What this side can take, for queries and answers alike (EDNS0, RFC 6891 section 6.1.2). */
export const optRecord: Answer = {
  type: 'OPT',
  name: '.',
  udpPayloadSize: largestUdp,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
};

/** Encodes a reply in at most `limit` bytes: what is only helpful goes first, then all records, with the truncation bit (RFC 2181, 9). */
export function encodeReply(query: ParsedQuery & { kind: 'query' }, reply: Reply, limit: number): Buffer {
  const flags =
    rcodes[reply.rcode] |
    (reply.unanswered ? 0 : packet.RECURSION_AVAILABLE) |
    (reply.authoritative ? packet.AUTHORITATIVE_ANSWER : 0) |
    (query.recursion ? packet.RECURSION_DESIRED : 0);
  const make = (parts: Partial<Reply>, more = 0): Buffer => {
    const message: Packet = {
      type: 'response',
      id: query.id,
      flags: flags | more,
      questions: [query.question],
      answers: [...(parts.answers ?? [])],
      authorities: [...(parts.authorities ?? [])],
      additionals: [...(parts.additionals ?? []), ...(query.edns ? [optRecord] : [])],
    };
    return packet.encode(message);
  };
  const whole = make(reply);
  if (whole.length <= limit) return whole;
  const plain = make({ ...reply, additionals: [] });
  return plain.length <= limit ? plain : make({}, packet.TRUNCATED_RESPONSE);
}
