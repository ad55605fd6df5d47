import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { badRequestError, statusError, statusOf } from '@wherry/api';
import { codeOf, messageOf } from '@wherry/base';
import { acceptWebSocket, hangUp, SpdyConnection, type SpdyStream, webSocketStream } from '@wherry/http';
import type { PodStreams, StreamSession } from '@wherry/runtime';
import type { Authorizer, UserInfo } from '../auth/contract.ts';
import { Query } from '../http/query.ts';
import type { Users } from '../http/users.ts';
import type { Core } from '../pipeline/core.ts';
import type { Target } from '../pipeline/request.ts';
import { authoriseResource } from '../request/authorise.ts';
import { requestInfo } from '../request/info.ts';
import { SpdyCommand, socketChannels, socketProtocols, spdyProtocols, type Wanted } from './command-protocols.ts';
import { containerOf, podOf, streamsOf } from './pod-target.ts';
import {
  portsOf,
  SpdyForwarder,
  serveSocketForward,
  serveSpdyForward,
  socketForwardProtocols,
  spdyForwardProtocol,
  tunnelProtocol,
} from './port-forward.ts';
import { runCommand } from './remote-command.ts';

export interface UpgradeParts {
  readonly authorizer: Authorizer;
  readonly users: Users;
  readonly streamsOf: (nodeName: string) => PodStreams | undefined;
  /** Serves an upgraded `proxy` request; `undefined` when there is no way into the pod network. */
  readonly proxy: (
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    target: Target,
    rest: string,
  ) => Promise<void>;
}

/** How long a client has to open its streams. */
const streamPatience = 30_000;

interface Upgrade {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly query: Query;
  readonly target: Target;
}

/** Serves the requests that leave HTTP: exec, attach and port-forward over WebSocket or SPDY/3.1. */
export class Upgrades {
  readonly #core: Core;
  readonly #parts: UpgradeParts;

  constructor(core: Core, parts: UpgradeParts) {
    this.#core = core;
    this.#parts = parts;
  }

  /** Never rejects: what goes wrong before the upgrade is answered as a `Status`. */
  async handle(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => undefined);
    try {
      await this.#serve(request, socket, head);
    } catch (error) {
      if (codeOf(error) === undefined) this.#core.log.error('an upgrade failed', { error: messageOf(error) });
      refuse(socket, error);
    }
  }

  async #serve(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const url = request.url ?? '/';
    const mark = url.indexOf('?');
    const path = mark < 0 ? url : url.slice(0, mark);
    const query = new Query(mark < 0 ? '' : url.slice(mark + 1));
    const info = requestInfo(path);
    const user = await this.#parts.users.of(request);
    if (!info.resourceRequest)
      throw statusError('notFound', 'the server could not find the requested resource', { details: {} });
    this.#authorise(user, request, info);
    const kind = this.#core.catalog.find(info.group, info.version, info.resource);
    if (kind === undefined)
      throw statusError('notFound', 'the server could not find the requested resource', { details: {} });
    const target: Target = { kind, namespace: info.namespace, name: info.name, subresource: info.subresource };
    const upgrade: Upgrade = { request, socket, head, query, target };
    switch (`${kind.resource}/${info.subresource}`) {
      case 'pods/exec':
      case 'pods/attach':
        return this.#command(upgrade);
      case 'pods/portforward':
        return this.#forward(upgrade);
      case 'pods/proxy':
      case 'services/proxy':
      case 'nodes/proxy':
        return this.#parts.proxy(request, socket, head, target, info.rest + (mark < 0 ? '' : url.slice(mark)));
      default:
        throw badRequestError('this path cannot be upgraded');
    }
  }

  #authorise(user: UserInfo, request: IncomingMessage, info: Parameters<typeof authoriseResource>[3]): void {
    const { method } = request;
    if (method !== 'GET' && method !== 'POST') {
      throw statusError('unsupported', 'the server does not allow this method on the requested resource', {
        details: {},
      });
    }
    authoriseResource(this.#parts.authorizer, user, method === 'POST' ? 'create' : 'get', info);
    // A WebSocket begins with a GET, but what it does is not reading (KEP-5032).
    const runs = info.subresource === 'exec' || info.subresource === 'attach' || info.subresource === 'portforward';
    if (method === 'GET' && runs) authoriseResource(this.#parts.authorizer, user, 'create', info);
  }

  async #command({ request, socket, head, query, target }: Upgrade): Promise<void> {
    const { pod, key } = podOf(this.#core, target);
    const container = containerOf(pod, query.get('container'));
    const wanted: Wanted = {
      stdin: query.flag('stdin'),
      stdout: query.flag('stdout'),
      stderr: query.flag('stderr'),
      tty: query.flag('tty'),
    };
    if (!wanted.stdin && !wanted.stdout && !wanted.stderr) {
      throw badRequestError('you must specify at least 1 of stdin, stdout, stderr');
    }
    const exec = target.subresource === 'exec';
    const command = query.all('command');
    if (exec && command.length === 0) throw badRequestError('you must specify at least one command for the container');
    const streams = streamsOf(pod, this.#parts.streamsOf);
    const started = begin(() =>
      exec ? streams.exec(key, container, { command, ...wanted }) : streams.attach(key, container, wanted),
    );
    await started.refusal;
    const doing = exec ? 'executing command in' : 'attaching to';
    if (isWebSocket(request)) {
      const accepted = await acceptWebSocket(request, socket, head, socketProtocols);
      if (accepted === undefined) return started.abandon();
      await runCommand(socketChannels(accepted.socket, accepted.protocol, wanted), started.session, doing);
      return;
    }
    const protocol = acceptSpdy(request, socket, head, spdyProtocols);
    const collected = new SpdyCommand(wanted);
    const connection = new SpdyConnection(socket, (stream) => collected.add(stream));
    const patience = new AbortController();
    const timer = this.#core.clock.after(streamPatience, () => patience.abort());
    try {
      const channels = await collected.channels(connection, protocol, patience.signal);
      await runCommand(channels, started.session, doing);
    } catch {
      await started.abandon();
    } finally {
      timer[Symbol.dispose]();
      connection.close();
    }
  }

  async #forward({ request, socket, head, query, target }: Upgrade): Promise<void> {
    const { pod, key } = podOf(this.#core, target);
    const streams = streamsOf(pod, this.#parts.streamsOf);
    const forwarder = new SpdyForwarder(streams, key);
    const add = (stream: SpdyStream): void => forwarder.add(stream);
    if (!isWebSocket(request)) {
      acceptSpdy(request, socket, head, [spdyForwardProtocol]);
      return serveSpdyForward(new SpdyConnection(socket, add));
    }
    const accepted = await acceptWebSocket(request, socket, head, [tunnelProtocol, ...socketForwardProtocols]);
    if (accepted === undefined) return;
    if (accepted.protocol === tunnelProtocol) {
      return serveSpdyForward(new SpdyConnection(webSocketStream(accepted.socket), add));
    }
    await serveSocketForward(accepted.socket, accepted.protocol, portsOf(query.all('ports')), streams, key);
  }
}

/** Starts a session now, so that a pod or container that is not there is refused before the upgrade. */
function begin(start: () => Promise<StreamSession>): {
  /** Rejects for what the client should see as a plain HTTP failure. */
  readonly refusal: Promise<void>;
  session(): Promise<StreamSession>;
  abandon(): Promise<void>;
} {
  const session = start();
  const refusal = session.then(
    () => undefined,
    (error: unknown) => {
      const code = codeOf(error);
      if (code === 'notFound' || code === 'unavailable' || code === 'invalid') throw error;
    },
  );
  return {
    refusal,
    session: () => session,
    abandon: async () => {
      await session.then(
        (made) => made[Symbol.asyncDispose](),
        () => undefined,
      );
    },
  };
}

function isWebSocket(request: IncomingMessage): boolean {
  return String(request.headers.upgrade ?? '').toLowerCase() === 'websocket';
}

/** Answers a SPDY upgrade; gives the protocol version that both know. Error 400, 403. */
function acceptSpdy(request: IncomingMessage, socket: Duplex, head: Buffer, protocols: readonly string[]): string {
  if (
    !String(request.headers.upgrade ?? '')
      .toLowerCase()
      .startsWith('spdy/3.1')
  ) {
    throw badRequestError('unable to upgrade: missing upgrade headers in request');
  }
  const offered: string[] = [];
  for (let index = 0; index + 1 < request.rawHeaders.length; index += 2) {
    if (request.rawHeaders[index]!.toLowerCase() !== 'x-stream-protocol-version') continue;
    offered.push(...request.rawHeaders[index + 1]!.split(',').map((name) => name.trim()));
  }
  const protocol =
    offered.length === 0 && protocols.length === 1 ? protocols[0]! : offered.find((name) => protocols.includes(name));
  if (protocol === undefined) {
    throw statusError(
      'forbidden',
      `unable to upgrade: unable to negotiate protocol: client supports [${offered.join(' ')}], server accepts [${protocols.join(' ')}]`,
    );
  }
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: ${protocol}\r\n\r\n`,
  );
  if (head.length > 0) socket.unshift(head);
  return protocol;
}

/** Answers an upgrade request with a failure. */
function refuse(socket: Duplex, error: unknown): void {
  if (socket.destroyed || !socket.writable) return;
  const status = statusOf(error);
  const body = `${JSON.stringify(status)}\n`;
  hangUp(
    socket,
    `HTTP/1.1 ${status.code ?? 500} ${status.reason ?? 'Error'}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
