import type { Socket as UdpSocket } from 'node:dgram';
import type { Server, Socket } from 'node:net';
import { type Clock, codeOf, DisposalStack, type Logger, messageOf, systemClock } from '@wherry/base';
import { bindUdpInNetns, listenInNetns } from '@wherry/linux';
import type { Answer } from 'dns-packet';
import { Forwarder } from './forwarder.ts';
import { ResolvConf } from './resolv-conf.ts';
import type { RecordSource } from './source.ts';
import { encodeReply, type ParsedQuery, parseQuery, type Rcode, type Reply, rcodes } from './wire.ts';

/** What `createDnsServer` needs to know. */
export interface DnsServerOptions {
  /** Asked in order; the first that knows a name's zone answers. */
  readonly sources: readonly RecordSource[];
  /** IP addresses to listen on. */
  readonly addresses: readonly string[];
  readonly port?: number | undefined; // default 53; 0 picks one (with a single address)
  /** Path of the network namespace to listen in; default this process's. */
  readonly netns?: string | undefined;
  /** Where to ask from, when that is another namespace; `netns: undefined` is this process's. */
  readonly forward?: { readonly netns: string | undefined } | undefined;
  /** Whether names that no source knows may be asked elsewhere at the moment; default yes. */
  readonly mayForward?: (() => boolean) | undefined;
  /** Where other names are asked: servers by address, or those of a resolv.conf that is followed (default `/etc/resolv.conf`). */
  readonly upstream?:
    | { readonly servers: readonly string[]; readonly port?: number | undefined }
    | { readonly resolvConf: string }
    | undefined;
  readonly log: Logger;
  readonly clock?: Clock | undefined;
}

/** A running server. Disposing closes it. */
export interface DnsServer extends AsyncDisposable {
  /** The port it listens on. */
  readonly port: number;
}

const mostTcpConnections = 128;
const tcpIdleMs = 10_000;
const largestMessage = 65_535;
const mostUnread = 512 * 1024;
const longestCnameChain = 8;
const mostPortsTried = 20;

/** Listens on UDP and TCP. Throws `conflict` when an address and port is taken. */
export async function createDnsServer(options: DnsServerOptions): Promise<DnsServer> {
  const stack = new DisposalStack(options.log);
  try {
    const resolver = createResolver(options, stack);
    let port = options.port ?? 53;
    for (const address of options.addresses) {
      const connections = new Set<Socket>();
      const { udp, tcp } = await bindBoth(options.netns, address, port, (socket) =>
        serveTcp(socket, connections, resolver),
      );
      stack.defer(() => closeUdp(udp), 'UDP socket');
      stack.defer(() => closeTcp(tcp, connections), 'TCP server');
      port = udp.address().port;
      serveUdp(udp, resolver, options.log);
    }
    return { port, [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose]() };
  } catch (error) {
    await stack[Symbol.asyncDispose]();
    throw error;
  }
}

/** UDP and TCP on the same port. With port 0 the kernel picks a free UDP port, whose TCP half may be another's: then the next is tried. */
async function bindBoth(
  netns: string | undefined,
  address: string,
  port: number,
  onConnection: (socket: Socket) => void,
): Promise<{ udp: UdpSocket; tcp: Server }> {
  for (let attempt = 1; ; attempt++) {
    const udp = await bindUdpInNetns(netns, address, port);
    try {
      return { udp, tcp: await listenInNetns(netns, address, udp.address().port, onConnection) };
    } catch (error) {
      await closeUdp(udp);
      if (port !== 0 || codeOf(error) !== 'conflict' || attempt === mostPortsTried) throw error;
    }
  }
}

function closeUdp(udp: UdpSocket): Promise<void> {
  return new Promise((resolve) => udp.close(resolve));
}

type Resolver = (query: ParsedQuery & { kind: 'query' }) => Reply | Promise<Reply>;

function createResolver(options: DnsServerOptions, stack: DisposalStack): Resolver {
  const {
    sources,
    addresses,
    upstream = { resolvConf: '/etc/resolv.conf' },
    forward: from = { netns: options.netns },
    mayForward = () => true,
    log,
    clock = systemClock,
  } = options;
  const resolvConf = 'resolvConf' in upstream ? stack.use(new ResolvConf(upstream.resolvConf, log)) : undefined;
  const servers = (): readonly string[] =>
    resolvConf === undefined ? (upstream as { servers: readonly string[] }).servers : resolvConf.servers;
  const own = (server: string): boolean => resolvConf !== undefined && addresses.includes(server);
  const forwarder = new Forwarder({
    servers: () => servers().filter((server) => !own(server)),
    port: 'port' in upstream ? upstream.port : undefined,
    netns: from.netns,
    clock,
    log,
  });
  const forward = async (name: string, type: string): Promise<Reply> =>
    mayForward() ? forwarded(forwarder, name, type, log) : unknown;
  return ({ question }) => resolve(sources, question.name.toLowerCase(), question.type, question.name, forward, 0);
}

/** Answers from the sources, else from upstream; follows an alias that a source gives. `shownAs` keeps the question's own spelling (draft-vixie-dnsext-dns0x20). */
function resolve(
  sources: readonly RecordSource[],
  name: string,
  type: string,
  shownAs: string,
  forward: (name: string, type: string) => Promise<Reply>,
  depth: number,
): Reply | Promise<Reply> {
  for (const source of sources) {
    const found = source.resolve(name, type);
    if (found === undefined) continue;
    const { authoritative = true } = source;
    if (found.kind !== 'records') {
      const rcode = found.kind === 'noName' ? 'NXDOMAIN' : 'NOERROR';
      const authorities = source.soa === undefined ? [] : [source.soa];
      return { rcode, authoritative, answers: [], authorities, additionals: [] };
    }
    const answers = found.answers.map((record) =>
      record.name === name ? { ...record, name: shownAs } : record,
    ) as Answer[];
    const reply: Reply = {
      rcode: 'NOERROR',
      authoritative,
      answers: rotated(answers),
      authorities: [],
      additionals: found.additionals ?? [],
    };
    const [alias] = answers;
    if (alias?.type !== 'CNAME' || type === 'CNAME' || depth >= longestCnameChain) return reply;
    const target = String(alias.data);
    const rest = Promise.resolve(resolve(sources, target.toLowerCase(), type, target, forward, depth + 1));
    return rest.then((next) => ({ ...next, authoritative, answers: [alias, ...next.answers] }));
  }
  return forward(name, type);
}

/** Nobody could be asked. */
const unknown: Reply = {
  rcode: 'SERVFAIL',
  authoritative: false,
  unanswered: true,
  answers: [],
  authorities: [],
  additionals: [],
};

async function forwarded(forwarder: Forwarder, name: string, type: string, log: Logger): Promise<Reply> {
  try {
    const { rcode, answers, authorities } = await forwarder.ask(name, type);
    const known = rcode in rcodes ? (rcode as Rcode) : 'SERVFAIL';
    return { rcode: known, authoritative: false, answers, authorities, additionals: [] };
  } catch (error) {
    log.debug('a name could not be resolved', { name, type, error: messageOf(error) });
    return unknown;
  }
}

let turn = 0;

/** Clients take the first address: each answer starts with another. */
function rotated(answers: Answer[]): Answer[] {
  if (answers.length < 2) return answers;
  const start = turn++ % answers.length;
  return [...answers.slice(start), ...answers.slice(0, start)];
}

/** The bytes of the answer, or `undefined` for what deserves none. Synchronous for names of the sources. */
function respond(data: Buffer, resolver: Resolver, overTcp: boolean): Buffer | undefined | Promise<Buffer> {
  const query = parseQuery(data);
  if (query.kind === 'ignored') return undefined;
  if (query.kind === 'refused') return query.response;
  const encode = (reply: Reply): Buffer => encodeReply(query, reply, overTcp ? largestMessage : query.udpSize);
  const reply = resolver(query);
  return reply instanceof Promise ? reply.then(encode) : encode(reply);
}

function serveUdp(socket: UdpSocket, resolver: Resolver, log: Logger): void {
  // Errors of one client's address (unreachable) must not end the service of the others.
  socket.on('error', (error) => log.debug('UDP error', { error: messageOf(error) }));
  socket.on('message', (data, from) => {
    const send = (response: Buffer | undefined): void => {
      if (response === undefined) return;
      try {
        socket.send(response, from.port, from.address, () => undefined);
      } catch {
        // The server was closed while the answer was on its way.
      }
    };
    answer(data, resolver, false, log, send);
  });
}

function answer(
  data: Buffer,
  resolver: Resolver,
  overTcp: boolean,
  log: Logger,
  send: (response: Buffer | undefined) => void,
): void {
  try {
    const response = respond(data, resolver, overTcp);
    if (response instanceof Promise) {
      response.then(send).catch((error: unknown) => log.warn('a query failed', { error: messageOf(error) }));
    } else {
      send(response);
    }
  } catch (error) {
    log.warn('a query failed', { error: messageOf(error) });
  }
}

function serveTcp(socket: Socket, connections: Set<Socket>, resolver: Resolver): void {
  if (connections.size >= mostTcpConnections) {
    socket.destroy();
    return;
  }
  connections.add(socket);
  socket.setTimeout(tcpIdleMs, () => socket.destroy());
  socket.on('close', () => connections.delete(socket));
  socket.on('error', () => socket.destroy());
  let received = Buffer.alloc(0);
  let pending = 0;
  let ended = false;
  const settle = (response: Buffer | undefined): void => {
    pending--;
    if (response !== undefined && socket.writable) {
      // Who asks and does not read the answers is no resolver either.
      if (socket.writableLength > mostUnread) return void socket.destroy();
      const length = Buffer.alloc(2);
      length.writeUInt16BE(response.length);
      socket.write(Buffer.concat([length, response]));
    }
    if (ended && pending === 0) socket.end();
  };
  socket.on('data', (chunk) => {
    received = Buffer.concat([received, chunk]);
    while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
      const size = received.readUInt16BE(0);
      const message = received.subarray(2, 2 + size);
      received = received.subarray(2 + size);
      pending++;
      // A pipeline longer than this is no resolver.
      if (pending > 100) return void socket.destroy();
      void Promise.resolve(safely(() => respond(message, resolver, true))).then(settle, () => settle(undefined));
    }
  });
  socket.on('end', () => {
    ended = true;
    if (pending === 0) socket.end();
  });
}

function safely<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

async function closeTcp(server: Server, connections: Set<Socket>): Promise<void> {
  for (const socket of connections) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
}
