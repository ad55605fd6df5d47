import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { fetchAddress } from './fetch-address.ts';

const { signal } = new AbortController();

it.each([
  ['http://', 'Get "http:": http: no Host in request URL'],
  ['http:///x', 'Get "http:///x": http: no Host in request URL'],
  ['http://127.0.0.1:99999/f', 'Get "http://127.0.0.1:99999/f": dial tcp: address 99999: invalid port'],
])('says of %s what Go says', async (address, words) => {
  await expect(fetchAddress(address, signal)).rejects.toThrow(words);
});

it('knows a server that speaks no TLS', async () => {
  const server = createServer((_, response) => response.end('plain'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const place = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  expect(await (await fetchAddress(`http://${place}/`, signal)).text()).toBe('plain');
  await expect(fetchAddress(`https://${place}/`, signal)).rejects.toThrow(
    `Get "https://${place}/": http: server gave HTTP response to HTTPS client`,
  );
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});
