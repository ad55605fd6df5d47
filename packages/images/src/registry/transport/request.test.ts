import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Connections, readBody } from './request.ts';

let server: Server;
let url: URL;
beforeAll(async () => {
  server = createServer((request, response) => {
    if (request.url === '/hangs') return;
    response.writeHead(200, { 'Content-Length': 1000 }).write('begun', () => {
      if (request.url === '/cut') response.destroy();
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

describe('requests', () => {
  it('may be many for one signal without a warning', async () => {
    const warnings: Error[] = [];
    const hear = (warning: Error): void => void warnings.push(warning);
    process.on('warning', hear);
    using connections = new Connections();
    const controller = new AbortController();
    const sent = Array.from({ length: 20 }, () =>
      connections.send({ method: 'GET', url: new URL('/hangs', url), headers: {}, signal: controller.signal }),
    );
    controller.abort();
    for (const answer of sent) await expect(answer).rejects.toMatchObject({ code: 'cancelled' });
    await new Promise(setImmediate);
    process.off('warning', hear);
    expect(warnings).toEqual([]);
  });

  it('end as unavailable where an answer is cut off, cancelled where nobody wants it', async () => {
    using connections = new Connections();
    const controller = new AbortController();
    const ask = (path: string) =>
      connections.send({ method: 'GET', url: new URL(path, url), headers: {}, signal: controller.signal });
    const cut = { code: 'unavailable', message: 'unexpected EOF' };
    await expect(readBody(await ask('/cut'), 1000)).rejects.toMatchObject(cut);
    const reading = readBody(await ask('/open'), 1000);
    controller.abort();
    await expect(reading).rejects.toMatchObject({ code: 'cancelled' });
  });
});
