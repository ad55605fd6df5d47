import { WherryError } from '@wherry/base';
import type { AttachedStreams, AttachRequest, DockerContainers, LogsRequest } from '@wherry/docker';
import { acceptWebSocket, webSocketStream } from '@wherry/http';
import { isEmpty } from '../http/body.ts';
import type { Exchange } from '../http/exchange.ts';
import type { Route } from '../http/router.ts';
import { parseTime } from '../http/times.ts';
import { hijack, refuseHijack, streamType } from '../streams/hijack.ts';
import { runSession } from '../streams/session.ts';
import { nameOf } from './lifecycle-routes.ts';

/** Logs and attach. */
export function streamRoutes(containers: DockerContainers): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/containers/{name:.*}/logs',
      async handle(exchange) {
        const { tty, output } = await containers.logs(nameOf(exchange), logsRequest(exchange));
        await exchange.stream(streamType(exchange, tty), output);
      },
    },
    { method: 'POST', path: '/containers/{name:.*}/attach', handle: (exchange) => attach(containers, exchange) },
    {
      method: 'GET',
      path: '/containers/{name:.*}/attach/ws',
      handle: (exchange) => attachSocket(containers, exchange),
    },
  ];
}

function logsRequest({ query, signal }: Exchange): LogsRequest {
  const stdout = query.flag('stdout');
  const stderr = query.flag('stderr');
  if (!stdout && !stderr) throw new WherryError('invalid', 'Bad parameters: you must choose at least one stream');
  const tail = query.text('tail');
  return {
    follow: query.flag('follow'),
    stdout,
    stderr,
    since: parseTime(query.text('since')),
    until: parseTime(query.text('until')),
    timestamps: query.flag('timestamps'),
    details: query.flag('details'),
    // Anything but a number is all of it, as in dockerd.
    tail: /^\+?\d+$/.test(tail) ? Number(tail) : undefined,
    signal,
  };
}

function attachRequest({ query }: Exchange): AttachRequest {
  const detachKeys = query.optional('detachKeys');
  return {
    stream: query.flag('stream'),
    logs: query.flag('logs'),
    stdin: query.flag('stdin'),
    stdout: query.flag('stdout'),
    stderr: query.flag('stderr'),
    ...(detachKeys === undefined ? {} : { detachKeys }),
  };
}

async function attach(containers: DockerContainers, exchange: Exchange): Promise<void> {
  let streams: AttachedStreams;
  try {
    streams = await containers.attach(nameOf(exchange), attachRequest(exchange));
  } catch (error) {
    return refuseHijack(exchange, error);
  }
  try {
    // dockerode repeats the query in a body; it is not for the container.
    if (!isEmpty(exchange.request) && exchange.request.headers['content-length'] !== undefined) {
      for await (const _ of exchange.body);
    }
    await runSession(hijack(exchange, streams.tty, { bare: true }), streams, { framed: !streams.tty });
  } finally {
    await streams[Symbol.asyncDispose]();
  }
}

/** Output comes without frames; what the client sends is input. */
async function attachSocket(containers: DockerContainers, exchange: Exchange): Promise<void> {
  const { hijackable, request, response } = exchange;
  if (hijackable === undefined || hijackable.upgrade?.toLowerCase() !== 'websocket') {
    throw new WherryError('invalid', 'this path takes WebSocket connections only');
  }
  const streams = await containers.attach(nameOf(exchange), attachRequest(exchange));
  try {
    response.detachSocket(hijackable.socket as never);
    const accepted = await acceptWebSocket(request, hijackable.socket, Buffer.alloc(0), ['']);
    if (accepted) await runSession(webSocketStream(accepted.socket), streams, { framed: false });
  } finally {
    await streams[Symbol.asyncDispose]();
  }
}
