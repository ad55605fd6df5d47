import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { duplicateDescriptor, endReceivingOn, plainDescriptorOf } from '@wherry/linux';
import { expect, it, onTestFinished } from 'vitest';
import { patientReceiver } from './patient-receiver.ts';

/** What writes, and the descriptor of what it writes to. */
async function connection(): Promise<{ readonly writer: Socket; readonly reader: number }> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [[writer]] = await Promise.all([once(server, 'connection') as Promise<[Socket]>, once(socket, 'connect')]);
  server.close();
  const reader = duplicateDescriptor(plainDescriptorOf(socket)!);
  socket.destroy();
  onTestFinished(() => {
    writer.destroy();
    closeSync(reader);
  });
  return { writer, reader };
}

it('waits as long as it may be silent, from the last bytes on', async () => {
  const { writer, reader } = await connection();
  const next = patientReceiver(reader, { milliseconds: 300, throwIfCancelled: () => undefined });
  await new Promise<void>((resolve) => void writer.write('abc', () => resolve()));
  const buffer = Buffer.alloc(10);
  expect(next(buffer)).toBe(3);
  const began = performance.now();
  expect(next(buffer)).toBeUndefined();
  expect(performance.now() - began).toBeGreaterThan(290);
  await new Promise<void>((resolve) => void writer.write('d', () => resolve()));
  expect(next(buffer)).toBe(1);
});

it('throws at once what it is cancelled with, and ends where the connection does', async () => {
  const { writer, reader } = await connection();
  const stop = new AbortController();
  const next = patientReceiver(reader, { throwIfCancelled: () => stop.signal.throwIfAborted() });
  writer.end('abc');
  await once(writer, 'finish');
  const buffer = Buffer.alloc(10);
  expect([next(buffer), next(buffer)]).toEqual([3, 0]);
  stop.abort(new Error('enough'));
  using _ending = endReceivingOn(stop.signal, reader);
  expect(() => next(buffer)).toThrow('enough');
});

it('ends where it is woken before anything came', async () => {
  const { reader } = await connection();
  const stop = new AbortController();
  const next = patientReceiver(reader, { throwIfCancelled: () => undefined });
  using _ending = endReceivingOn(stop.signal, reader);
  stop.abort();
  expect(next(Buffer.alloc(10))).toBe(0);
});
