import { once } from 'node:events';
import { type Duplex, duplexPair } from 'node:stream';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { SpdyConnection, type SpdyStream } from './connection.ts';
import {
  controlFrame,
  dataHeader,
  type Frame,
  FrameReader,
  flagFin,
  frameType,
  headerBlock,
  number,
} from './frames.ts';
import { HeaderCodec } from './header-codec.ts';

interface Peer {
  readonly wire: Duplex;
  readonly connection: SpdyConnection;
  readonly streams: SpdyStream[];
  readonly codec: HeaderCodec;
}

function connect(): Peer {
  const [wire, transport] = duplexPair() as [Duplex, Duplex];
  const streams: SpdyStream[] = [];
  const connection = new SpdyConnection(transport, (stream) => void streams.push(stream));
  wire.on('error', () => undefined);
  return { wire, connection, streams, codec: new HeaderCodec() };
}

async function syn(codec: HeaderCodec, id: number, headers: Record<string, string> = {}): Promise<Buffer> {
  const block = await codec.compress(headerBlock(headers));
  return controlFrame(frameType.synStream, 0, Buffer.concat([number(id), number(0), Buffer.alloc(2), block]));
}

async function until(condition: () => boolean): Promise<void> {
  for (let turns = 0; !condition(); turns++) {
    if (turns > 5000) throw new Error('it never came about');
    await sleep(1);
  }
}

test('opens streams, carries data and half-closes', async () => {
  const { wire, streams, codec } = connect();
  wire.resume();
  wire.write(await syn(codec, 1, { streamtype: 'stdin' }));
  await until(() => streams.length === 1);
  expect(streams[0]!.headers.get('streamtype')).toBe('stdin');
  const text: Buffer[] = [];
  streams[0]!.on('data', (chunk: Buffer) => text.push(chunk));
  wire.write(Buffer.concat([dataHeader(1, flagFin, 5), Buffer.from('hello')]));
  await once(streams[0]!, 'end');
  expect(Buffer.concat(text).toString()).toBe('hello');
});

test('a data frame is handed on in the pieces in which it comes', () => {
  const reader = new FrameReader();
  const whole = Buffer.concat([
    dataHeader(3, flagFin, 6),
    Buffer.from('abcdef'),
    controlFrame(frameType.ping, 0, number(1)),
  ]);
  const frames: Frame[] = [];
  for (const byte of whole) frames.push(...reader.read(Buffer.from([byte])));
  const data = frames.filter((frame) => !frame.control);
  expect(data.map(({ payload, flags }) => `${payload}${flags}`)).toEqual(['a0', 'b0', 'c0', 'd0', 'e0', 'f1']);
  expect(frames.at(-1)).toMatchObject({ control: true, type: frameType.ping });
});

test('what is no SPDY/3 frame, is too long or cut short ends the connection', async () => {
  const hostile = [
    Buffer.from([0x80, 0x02, 0x00, 0x01, 0, 0, 0, 0]), // SPDY/2
    Buffer.from([0x80, 0x03, 0x00, 0x01, 0, 0xff, 0xff, 0xff]), // a control frame of 16 MiB
    controlFrame(frameType.synStream, 0, Buffer.alloc(3)),
    controlFrame(frameType.rstStream, 0, Buffer.alloc(0)),
    controlFrame(frameType.synStream, 0, Buffer.concat([number(1), number(0), Buffer.from('no zlib at all')])),
    controlFrame(frameType.headers, 0, Buffer.concat([number(1), Buffer.from('no zlib either')])),
  ];
  for (const bytes of hostile) {
    const { wire, connection } = connect();
    wire.resume();
    wire.write(bytes);
    await connection.closed;
  }
});

test('a header block that expands beyond the limit ends the connection', async () => {
  const { wire, connection, codec, streams } = connect();
  wire.resume();
  wire.write(await syn(codec, 1, { x: 'a'.repeat(10_000_000) }));
  await connection.closed;
  expect(streams).toHaveLength(0);
});

test('more than 256 streams are refused one by one', async () => {
  const { wire, streams, codec } = connect();
  const reader = new FrameReader();
  const resets: Frame[] = [];
  wire.on('data', (chunk: Buffer) => {
    resets.push(...reader.read(chunk).filter((frame) => frame.control && frame.type === frameType.rstStream));
  });
  for (let id = 1; id <= 601; id += 2) wire.write(await syn(codec, id));
  await until(() => resets.length === 45);
  expect(streams).toHaveLength(256);
});

test('a client that floods pings and reads no answer is not read on', async () => {
  const { wire } = connect();
  const pings = Buffer.concat(Array.from({ length: 1000 }, () => controlFrame(frameType.ping, 0, number(1))));
  let accepted = 0;
  for (let round = 0; round < 200 && wire.writableLength < 4 * pings.length; round++) {
    wire.write(pings);
    accepted += pings.length;
    for (let turns = 0; turns < 5; turns++) await turn();
  }
  // Without a limit all 2.4 MB would be taken and answered into memory.
  expect(accepted).toBeLessThan(20 * pings.length);
  expect(wire.readableLength).toBeLessThan(20 * pings.length);
  wire.destroy();
});

test('a stream that nobody reads holds a bounded part, whatever another stream reads', async () => {
  const { wire, streams, codec } = connect();
  wire.on('data', () => undefined);
  wire.write(await syn(codec, 1));
  wire.write(await syn(codec, 3));
  await until(() => streams.length === 2);
  streams[1]!.resume();
  const piece = Buffer.alloc(32 * 1024);
  for (let round = 0; round < 100; round++) {
    wire.write(Buffer.concat([dataHeader(1, 0, piece.length), piece, dataHeader(3, 0, 1), Buffer.from('x')]));
    await turn();
  }
  expect(streams[0]!.readableLength).toBeLessThan(1024 * 1024);
  // Once it is read, all goes on.
  let size = 0;
  streams[0]!.on('data', (chunk: Buffer) => {
    size += chunk.length;
  });
  await until(() => size === 100 * piece.length);
});
