import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { receive } from '@wherry/linux';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Connections, type RegistryResponse } from './request.ts';

const content = randomBytes(20_000_000);
let server: Server;
let url: URL;
beforeAll(async () => {
  server = createServer((request, response) => {
    if (request.url === '/cut')
      response
        .writeHead(200, { 'Content-Length': content.length })
        .write(content.subarray(0, 100_000), () => response.destroy());
    else response.writeHead(200, { 'Content-Length': content.length }).end(content);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const ask = (connections: Connections, path = '/', isLong = true): Promise<RegistryResponse> =>
  connections.send({
    method: 'GET',
    url: new URL(path, url),
    headers: {},
    signal: new AbortController().signal,
    isLong,
  });

async function rest(response: RegistryResponse): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of response.body) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

describe('the body of a long answer', () => {
  it('is read as any other where nobody takes the connection', async () => {
    using connections = new Connections();
    const response = await ask(connections);
    expect((await rest(response)).equals(content)).toBe(true);
  });

  it('is left to whoever takes the connection', async () => {
    using connections = new Connections();
    const response = await ask(connections);
    using taken = await response.takeOver!();
    const pieces = [...taken!.read];
    let left = content.length - Buffer.concat(pieces).length;
    expect(left).toBeGreaterThan(0);
    const buffer = Buffer.alloc(content.length);
    while (left > 0) {
      const count = receive(taken!.descriptor, buffer.subarray(0, left), 0);
      if (count === undefined) {
        // The server is in this process.
        await new Promise(setImmediate);
        continue;
      }
      pieces.push(Buffer.from(buffer.subarray(0, count)));
      left -= count;
    }
    response.body.destroy();
    expect(Buffer.concat(pieces).equals(content)).toBe(true);
  });

  it('is read on after it was given back', async () => {
    using connections = new Connections();
    const response = await ask(connections);
    using taken = await response.takeOver!();
    taken!.giveBack();
    expect(Buffer.concat([...taken!.read, await rest(response)]).equals(content)).toBe(true);
  });

  it('ends where the connection does', async () => {
    using connections = new Connections();
    const response = await ask(connections, '/cut');
    await expect(rest(response)).rejects.toThrow('aborted');
  });

  it('comes from a name of several addresses, too', async () => {
    using connections = new Connections();
    const response = await ask(connections, `http://localhost:${url.port}/`);
    using taken = await response.takeOver!();
    taken!.giveBack();
    expect(Buffer.concat([...taken!.read, await rest(response)]).equals(content)).toBe(true);
  });

  it('is not taken of a short answer', async () => {
    using connections = new Connections();
    const response = await ask(connections, '/', false);
    expect(response.takeOver).toBeUndefined();
    response.body.destroy();
  });
});
