import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { fetchAddress, startOfAnswer } from './fetch-address.ts';

const { signal } = new AbortController();

it.each([
  ['http://', 'Get "http:": http: no Host in request URL'],
  ['http:///x', 'Get "http:///x": http: no Host in request URL'],
  ['http://127.0.0.1:1/f', 'Get "http://127.0.0.1:1/f": dial tcp 127.0.0.1:1: connect: connection refused'],
  ['ftp://x/f', 'Get "ftp://x/f": unsupported protocol scheme "ftp"'],
  ['http://127.0.0.1:99999/f', 'Get "http://127.0.0.1:99999/f": dial tcp: address 99999: invalid port'],
])('says of %s what Go says', async (address, words) => {
  await expect(fetchAddress(address, signal)).rejects.toThrow(words);
});

it('knows a server that speaks no TLS', async () => {
  await using server = await served((_, response) => response.end('plain'));
  const { place } = server;
  expect(await startOfAnswer(await fetchAddress(`http://${place}/`, signal))).toBe('plain');
  await expect(fetchAddress(`https://${place}/`, signal)).rejects.toThrow(
    `Get "https://${place}/": http: server gave HTTP response to HTTPS client`,
  );
});

it('follows redirects, but not without an end or elsewhere', async () => {
  await using server = await served(({ url }, response) => {
    const location = { '/a': '/b?c=d', '/loop': '/loop', '/away': 'file:///etc/passwd', '/none': undefined }[url ?? ''];
    if (url === '/b?c=d' || url === '/none') response.writeHead(url === '/none' ? 302 : 404, 'So').end('here');
    else response.writeHead(307, { Location: location! }).end();
  });
  const at = (path: string) => fetchAddress(`http://${server.place}${path}`, signal);
  const found = await at('/a');
  expect([found.status, found.statusText, found.ok, await startOfAnswer(found)]).toEqual([404, 'So', false, 'here']);
  expect((await at('/none')).status).toBe(302);
  await expect(at('/loop')).rejects.toThrow(`Get "/loop": stopped after 10 redirects`);
  await expect(at('/away')).rejects.toThrow('Get "file:///etc/passwd": unsupported protocol scheme "file"');
});

it('takes for the content what was compressed for the way', async () => {
  await using server = await served(({ url, headers }, response) => {
    const packed = gzipSync('plain').subarray(0, url === '/cut' ? 12 : undefined);
    response.writeHead(200, { 'Content-Encoding': String(headers['accept-encoding']) }).end(packed);
  });
  expect(await startOfAnswer(await fetchAddress(`http://${server.place}/`, signal))).toBe('plain');
  await expect(startOfAnswer(await fetchAddress(`http://${server.place}/cut`, signal))).rejects.toMatchObject({
    code: 'unavailable',
  });
});

it('says that an answer was cut, and can be given up', async () => {
  await using server = await served(({ url }, response) => {
    response.writeHead(200, { 'Content-Length': 100 });
    response.write('begun', () => url === '/cut' && response.destroy());
  });
  await expect(startOfAnswer(await fetchAddress(`http://${server.place}/cut`, signal))).rejects.toMatchObject({
    code: 'unavailable',
    message: 'unexpected EOF',
  });
  const giveUp = new AbortController();
  const open = await fetchAddress(`http://${server.place}/`, giveUp.signal);
  giveUp.abort();
  await expect(startOfAnswer(open)).rejects.toMatchObject({ code: 'cancelled' });
});

async function served(answer: RequestListener): Promise<AsyncDisposable & { readonly place: string }> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    place: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
