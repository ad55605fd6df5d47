import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { deferred } from '@wherry/base';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { duplicateDescriptor } from '../processes/descriptors.ts';
import { endReceiving, endReceivingOn, patientReceiver, receive, waitForMany } from './receive.ts';
import { plainDescriptorOf } from './send-file.ts';

let server: Server;
let onConnection: (socket: Socket) => void;
beforeAll(async () => {
  server = createServer((socket) => onConnection(socket)).listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterAll(() => void server.close());

/** Both ends of a connection; of the reader's, which Node has let go of, a descriptor. */
async function connection(): Promise<{ writer: Socket; reader: number } & Disposable> {
  const accepted = deferred<Socket>();
  onConnection = accepted.resolve;
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const writer = await accepted.promise;
  writer.on('error', () => undefined);
  if (socket.connecting) await once(socket, 'connect');
  const reader = duplicateDescriptor(plainDescriptorOf(socket)!);
  socket.destroy();
  return {
    writer,
    reader,
    [Symbol.dispose]: () => {
      closeSync(reader);
      writer.destroy();
    },
  };
}

/** Resolves when the kernel has it. */
const written = (writer: Socket, bytes: Uint8Array): Promise<void> =>
  new Promise((resolve, reject) => void writer.write(bytes, (error) => (error ? reject(error) : resolve())));

it('takes what is there, and no more than the buffer holds', async () => {
  using ends = await connection();
  const content = randomBytes(100_000);
  await written(ends.writer, content);
  const buffer = Buffer.alloc(60_000);
  expect(receive(ends.reader, buffer, 5000)).toBe(60_000);
  expect(buffer.equals(content.subarray(0, 60_000))).toBe(true);
  expect(receive(ends.reader, buffer, 5000)).toBe(40_000);
  expect(buffer.subarray(0, 40_000).equals(content.subarray(60_000))).toBe(true);
});

it('waits as long as it may, and gives then what came, were it less than was to be waited for', async () => {
  using ends = await connection();
  const buffer = Buffer.alloc(1000);
  const began = performance.now();
  expect(receive(ends.reader, buffer, 50)).toBeUndefined();
  expect(performance.now() - began).toBeGreaterThan(40);
  waitForMany(ends.reader, 500);
  await written(ends.writer, Buffer.alloc(10));
  // Nothing that poll(2) tells of, but it is there.
  expect(receive(ends.reader, buffer, 50)).toBe(10);
});

it('tells of the end behind the last bytes', async () => {
  using ends = await connection();
  ends.writer.end(Buffer.alloc(10));
  await once(ends.writer, 'finish');
  const buffer = Buffer.alloc(1000);
  waitForMany(ends.reader, 500);
  expect(receive(ends.reader, buffer, 5000)).toBe(10);
  expect(receive(ends.reader, buffer, 5000)).toBe(0);
});

it('takes a reset for the end', async () => {
  using ends = await connection();
  ends.writer.resetAndDestroy();
  await once(ends.writer, 'close');
  expect(receive(ends.reader, Buffer.alloc(10), 5000)).toBe(0);
});

it('takes the word of this side for the end, on a connection over which nothing comes', async () => {
  using ends = await connection();
  waitForMany(ends.reader, 500);
  endReceiving(ends.reader);
  expect(receive(ends.reader, Buffer.alloc(10), 60_000)).toBe(0);
  // Nothing happens where it has ended.
  ends.writer.resetAndDestroy();
  await once(ends.writer, 'close');
  endReceiving(ends.reader);
});

it('waits as long as it may be silent, from the last bytes on', async () => {
  using ends = await connection();
  const next = patientReceiver(ends.reader, { milliseconds: 300, throwIfCancelled: () => undefined });
  await written(ends.writer, Buffer.from('abc'));
  const buffer = Buffer.alloc(10);
  expect(next(buffer)).toBe(3);
  const began = performance.now();
  expect(next(buffer)).toBeUndefined();
  expect(performance.now() - began).toBeGreaterThan(290);
  await written(ends.writer, Buffer.from('d'));
  expect(next(buffer)).toBe(1);
});

it('throws at once what it is cancelled with, and ends where the connection does', async () => {
  using ends = await connection();
  const stop = new AbortController();
  const next = patientReceiver(ends.reader, { throwIfCancelled: () => stop.signal.throwIfAborted() });
  ends.writer.end('abc');
  await once(ends.writer, 'finish');
  const buffer = Buffer.alloc(10);
  expect([next(buffer), next(buffer)]).toEqual([3, 0]);
  stop.abort(new Error('enough'));
  using _ending = endReceivingOn(stop.signal, ends.reader);
  expect(() => next(buffer)).toThrow('enough');
});

it('ends where it is woken before anything came', async () => {
  using ends = await connection();
  const stop = new AbortController();
  const next = patientReceiver(ends.reader, { throwIfCancelled: () => undefined });
  using _ending = endReceivingOn(stop.signal, ends.reader);
  stop.abort();
  expect(next(Buffer.alloc(10))).toBe(0);
});

it('says what is no connection', () => {
  expect(() => receive(1_000_000, Buffer.alloc(10), 10)).toThrow('recv: EBADF');
});
