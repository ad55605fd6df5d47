import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import {
  badRequestError,
  notFoundError,
  statusError,
  type V1EndpointSlice,
  type V1Pod,
  type V1Service,
} from '@wherry/api';
import { messageOf, parseIp } from '@wherry/base';
import type { Call, Connector } from '../http/handler.ts';
import { tokenProtocol } from '../http/users.ts';
import type { Core } from '../pipeline/core.ts';
import type { Target } from '../pipeline/request.ts';

export type Dial = (address: string, port: number) => Promise<Duplex>;

interface Backend {
  readonly address: string;
  readonly port: number;
}

/** Headers between two hops only (RFC 9110 §7.6.1), and those that belong to this API. */
const dropped = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'host',
  'authorization',
  'cookie',
]);

/** `pods/x/proxy` and `services/x/proxy`: plain HTTP to a pod. */
export function proxyConnector(core: Core, dial: Dial | undefined): Connector {
  return async (call: Call) => {
    const backend = backendOf(core, call.target, dial);
    const url = call.request.url ?? '/';
    const mark = url.indexOf('?');
    const path = (call.info.rest || '/') + (mark < 0 ? '' : url.slice(mark));
    return forward(call, backend, path, dial!);
  };
}

/** Where a proxy request goes. Name forms: `x`, `x:port`, `http:x:port`. Errors: 400, 404, 503. */
export function backendOf(core: Core, target: Target, dial: Dial | undefined): Backend {
  if (dial === undefined || target.kind.resource === 'nodes') {
    throw statusError('unavailable', `${target.kind.resource} cannot be reached from this server`);
  }
  const parts = target.name.split(':');
  const [scheme, name, port] = parts.length === 3 ? parts : ['', ...parts];
  if (scheme !== '' && scheme !== 'http')
    throw badRequestError(
      `invalid ${target.kind.resource} request ${JSON.stringify(target.name)}: only http is forwarded`,
    );
  if (!name || parts.length > 3)
    throw badRequestError(`invalid ${target.kind.resource} request ${JSON.stringify(target.name)}`);
  const found =
    target.kind.resource === 'pods'
      ? podBackend(core, target.namespace, name, port ?? '')
      : serviceBackend(core, target.namespace, name, port ?? '');
  if (isOwnAddress(found.address)) throw badRequestError('address not allowed');
  return found;
}

/** Addresses that mean this machine or its link rather than a pod: whoever writes them into a slice reaches no further. */
function isOwnAddress(address: string): boolean {
  const bytes = parseIp(address);
  if (bytes === undefined) return true;
  if (bytes.length === 4) {
    const [first = 0, second = 0] = bytes;
    return first === 0 || first === 127 || (first === 169 && second === 254) || first >= 224;
  }
  // Mapped IPv4, ::, ::1, link-local and multicast; this network has IPv4 only.
  return bytes.subarray(0, 10).every((byte) => byte === 0) || bytes[0] === 0xfe || bytes[0] === 0xff;
}

function podBackend(core: Core, namespace: string, name: string, port: string): Backend {
  const of = { group: '', resource: 'pods' };
  const pod = core.reader.get(of, namespace, name) as V1Pod | undefined;
  if (pod === undefined) throw notFoundError(of, name);
  const address = pod.status?.podIP;
  if (!address) throw badRequestError(`address not allowed: pod ${name} has no address`);
  const declared = pod.spec?.containers.flatMap((container) => container.ports ?? []) ?? [];
  const number =
    port === ''
      ? (declared[0]?.containerPort ?? 80)
      : (declared.find((p) => p.name === port)?.containerPort ?? Number(port));
  return { address, port: checked(number, name) };
}

function serviceBackend(core: Core, namespace: string, name: string, port: string): Backend {
  const of = { group: '', resource: 'services' };
  const service = core.reader.get(of, namespace, name) as V1Service | undefined;
  if (service === undefined) throw notFoundError(of, name);
  const ports = service.spec?.ports ?? [];
  const chosen =
    port === ''
      ? ports.length === 1
        ? ports[0]
        : undefined
      : ports.find((p) => p.name === port || String(p.port) === port);
  if (chosen === undefined)
    throw statusError('unavailable', `no endpoints available for service ${JSON.stringify(name)}`);
  const slices = core.reader.list(
    { group: 'discovery.k8s.io', resource: 'endpointslices' },
    namespace,
  ) as unknown as readonly V1EndpointSlice[];
  const backends: Backend[] = [];
  for (const slice of slices) {
    if ((slice.metadata?.labels as Record<string, string> | undefined)?.['kubernetes.io/service-name'] !== name)
      continue;
    const number = slice.ports?.find((p) => (p.name ?? '') === (chosen.name ?? ''))?.port;
    if (number === undefined) continue;
    for (const endpoint of slice.endpoints ?? []) {
      if (endpoint.conditions?.ready === false) continue;
      for (const address of endpoint.addresses) backends.push({ address, port: number });
    }
  }
  if (backends.length === 0)
    throw statusError('unavailable', `no endpoints available for service ${JSON.stringify(name)}`);
  return backends[Number.parseInt(core.random.hex(6), 16) % backends.length]!;
}

function checked(port: number, name: string): number {
  if (Number.isInteger(port) && port > 0 && port < 65536) return port;
  throw badRequestError(`invalid pod request ${JSON.stringify(name)}: no such port`);
}

async function forward(call: Call, backend: Backend, path: string, dial: Dial): Promise<number> {
  const { request, response } = call;
  const socket = await dial(backend.address, backend.port).catch((error: unknown) => {
    throw statusError('unavailable', `error trying to reach service: ${messageOf(error)}`);
  });
  const headers: Record<string, string | string[]> = { host: `${backend.address}:${backend.port}` };
  for (const [name, value] of Object.entries(request.headers)) {
    if (value === undefined || dropped.has(name) || name.startsWith(':') || name.startsWith('impersonate-')) continue;
    headers[name] = name === 'sec-websocket-protocol' ? withoutToken(String(value)) : value;
  }
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(
      // With an agent, Node would dial by itself: the loopback of this machine instead of the pod.
      { method: request.method, path, headers, createConnection: () => socket as never },
      (answer: IncomingMessage) => {
        const shown: Record<string, string | string[]> = {};
        for (const [name, value] of Object.entries(answer.headers)) {
          if (value !== undefined && !dropped.has(name)) shown[name] = value;
        }
        (response as ServerResponse).writeHead(answer.statusCode ?? 502, shown);
        answer.pipe(response as ServerResponse);
        answer.once('end', () => resolve(answer.statusCode ?? 502));
        answer.once('error', () => response.destroy());
      },
    );
    outgoing.on('error', (error) => {
      socket.destroy();
      reject(statusError('unavailable', `error trying to reach service: ${error.message}`));
    });
    response.once('close', () => {
      outgoing.destroy();
      socket.destroy();
      resolve(0);
    });
    (request as IncomingMessage).pipe(outgoing);
  });
}

/** An upgraded request (a WebSocket to a pod's server): its bytes are carried as they are. */
export async function proxyUpgrade(
  core: Core,
  dial: Dial | undefined,
  request: IncomingMessage,
  client: Duplex,
  head: Buffer,
  target: Target,
  path: string,
): Promise<void> {
  const backend = backendOf(core, target, dial);
  const socket = await dial!(backend.address, backend.port).catch((error: unknown) => {
    throw statusError('unavailable', `error trying to reach service: ${messageOf(error)}`);
  });
  const lines = [
    `${request.method} ${path.startsWith('/') ? path : `/${path}`} HTTP/1.1`,
    `Host: ${backend.address}:${backend.port}`,
  ];
  for (let index = 0; index + 1 < request.rawHeaders.length; index += 2) {
    const name = request.rawHeaders[index]!;
    const lower = name.toLowerCase();
    if (['host', 'authorization', 'cookie'].includes(lower) || lower.startsWith('impersonate-')) continue;
    const value = request.rawHeaders[index + 1]!;
    const shown = lower === 'sec-websocket-protocol' ? withoutToken(value) : value;
    if (shown !== '') lines.push(`${name}: ${shown}`);
  }
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  if (head.length > 0) socket.write(head);
  const end = (): void => {
    socket.destroy();
    client.destroy();
  };
  for (const side of [socket, client]) side.once('close', end).once('error', end);
  socket.pipe(client);
  client.pipe(socket);
}

/** A list of subprotocols without the one that carries the caller's token: it is this server's, not the pod's. */
export function withoutToken(protocols: string): string {
  return protocols
    .split(',')
    .map((name) => name.trim())
    .filter((name) => !name.startsWith(tokenProtocol))
    .join(', ');
}
