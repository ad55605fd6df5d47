import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { badRequestError } from '@wherry/api';
import { messageOf } from '@wherry/base';
import { ChannelSocket, type SpdyConnection, type SpdyStream } from '@wherry/http';
import type { PodKey, PodStreams } from '@wherry/runtime';
import type { WebSocket } from 'ws';

/** Subprotocol under which SPDY is tunnelled in a WebSocket (KEP-4006). */
export const tunnelProtocol = 'SPDY/3.1+portforward.k8s.io';
export const spdyForwardProtocol = 'portforward.k8s.io';
export const socketForwardProtocols = ['v4.channel.k8s.io', 'v4.base64.channel.k8s.io'];

interface Pair {
  data?: SpdyStream;
  error?: SpdyStream;
}

/** Joins the two streams of each forwarded connection (`data` and `error`, same `requestID`) to the pod. */
export class SpdyForwarder {
  readonly #pairs = new Map<string, Pair>();
  readonly #streams: PodStreams;
  readonly #pod: PodKey;

  constructor(streams: PodStreams, pod: PodKey) {
    this.#streams = streams;
    this.#pod = pod;
  }

  add(stream: SpdyStream): void {
    const type = stream.headers.get('streamtype');
    const port = Number(stream.headers.get('port'));
    if ((type !== 'data' && type !== 'error') || !Number.isInteger(port) || port < 1 || port > 65535) {
      stream.destroy();
      return;
    }
    // Clients before 1.4 sent no requestID; their error stream comes right before the data stream.
    const id = stream.headers.get('requestid') ?? String(type === 'error' ? stream.id : stream.id - 2);
    const pair = this.#pairs.get(id) ?? {};
    pair[type] = stream;
    this.#pairs.set(id, pair);
    stream.once('close', () => {
      if (this.#pairs.get(id) === pair) this.#pairs.delete(id);
    });
    if (pair.data !== undefined && pair.error !== undefined) {
      void this.#forward(pair.data, pair.error, port);
    }
  }

  async #forward(data: SpdyStream, error: SpdyStream, port: number): Promise<void> {
    error.resume();
    try {
      const connection = await this.#streams.portForward(this.#pod, port);
      await joined(data, connection);
    } catch (failure) {
      const { namespace, name, uid } = this.#pod;
      const pod = uid === undefined ? `${name}_${namespace}` : uid;
      error.write(
        `an error occurred forwarding ${port} -> ${port}: error forwarding port ${port} to pod ${pod}, uid : ${messageOf(failure)}`,
      );
      data.destroy();
    }
    error.end();
  }
}

/** Carries bytes both ways; each direction ends on its own. */
async function joined(a: Duplex, b: Duplex): Promise<void> {
  try {
    await Promise.all([pipeline(a, b, { end: true }), pipeline(b, a, { end: true })]);
  } catch {
    // A reset on either side ends the connection; that is no failure of the forward itself.
  } finally {
    a.destroy();
    b.destroy();
  }
}

/** Keeps a forwarding connection until the client leaves. */
export function serveSpdyForward(connection: SpdyConnection): Promise<void> {
  return connection.closed;
}

/** Forwarding over the channels of a WebSocket: two per port of the query, `?ports=80&ports=443`. */
export async function serveSocketForward(
  socket: WebSocket,
  protocol: string,
  ports: readonly number[],
  streams: PodStreams,
  pod: PodKey,
): Promise<void> {
  const channels = new ChannelSocket(socket, protocol);
  const over = new Promise<void>((resolve) =>
    channels.signal.addEventListener('abort', () => resolve(), { once: true }),
  );
  await Promise.all(
    ports.map(async (port, index) => {
      const data = index * 2;
      const input = channels.input(data);
      // The client is told the port on both channels first, in little-endian order.
      const header = Buffer.alloc(2);
      header.writeUInt16LE(port);
      await channels.send(data, header);
      await channels.send(data + 1, header);
      try {
        const connection = await streams.portForward(pod, port);
        const output = channels.output(data);
        await Promise.race([Promise.all([pipeline(input, connection), pipeline(connection, output)]), over]);
        connection.destroy();
      } catch (failure) {
        await channels.send(data + 1, Buffer.from(`an error occurred forwarding ${port}: ${messageOf(failure)}`));
      }
    }),
  );
  channels.close();
}

/** Two channels a port, and a channel's number is one byte. */
const mostPorts = 64;

/** The ports of a WebSocket forward. Error 400. */
export function portsOf(values: readonly string[]): number[] {
  const ports = values.flatMap((value) => value.split(',')).map(Number);
  if (ports.length === 0 || ports.some((port) => !Number.isInteger(port) || port < 1 || port > 65535)) {
    throw badRequestError('query parameter "port" is required: port numbers from 1 to 65535');
  }
  if (ports.length > mostPorts) throw badRequestError(`at most ${mostPorts} ports can be forwarded at a time`);
  return ports;
}
