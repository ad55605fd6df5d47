import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { VirtualClock } from '@wherry/base';
import { mediaTypes } from '@wherry/oci';
import { hashSync } from 'bcryptjs';
import { describe, expect, it } from 'vitest';
import { sha256, TestRegistry } from './test-client.ts';

/** Stands between a cache and its upstream: counts, holds up, spoils. */
class Between implements AsyncDisposable {
  readonly seen: string[] = [];
  /** Takes an answer over by giving true. */
  intercept: (request: IncomingMessage, response: ServerResponse) => boolean = () => false;
  readonly #server = createServer((incoming, response) => this.#serve(incoming, response));
  readonly #port: number;

  private constructor(port: number) {
    this.#port = port;
  }

  static async start(upstream: TestRegistry): Promise<Between> {
    const between = new Between(upstream.client.port);
    between.#server.listen(0, '127.0.0.1');
    await once(between.#server, 'listening');
    return between;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  count(pattern: RegExp): number {
    return this.seen.filter((line) => pattern.test(line)).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #serve(incoming: IncomingMessage, response: ServerResponse): void {
    this.seen.push(`${incoming.method} ${incoming.url}`);
    if (this.intercept(incoming, response)) return;
    const { method, url, headers } = incoming;
    const sent = request(
      { host: '127.0.0.1', port: this.#port, method, path: url, headers, agent: false },
      (answer) => {
        response.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(response);
      },
    );
    sent.on('error', () => response.destroy());
    sent.end();
  }
}

const start = async (upstream: TestRegistry, options: object = {}) => {
  const between = await Between.start(upstream);
  const cache = await TestRegistry.start({ proxy: { url: between.url }, ...options });
  return { between, cache, client: cache.client };
};

describe('a pull-through cache', () => {
  it('fetches once, asks again about tags only, and serves what it has while upstream is down', async () => {
    await using upstream = await TestRegistry.start();
    const image = await upstream.client.pushImage('team/app', 'v1');
    const { between, cache, client } = await start(upstream);
    await using _ = cache;
    for (let time = 0; time < 2; time++) {
      expect((await client.get('/v2/team/app/manifests/v1')).body.toString()).toBe(image.text);
      expect((await client.get(`/v2/team/app/blobs/${image.layer}`)).body.toString()).toBe('layer');
      expect((await client.head(`/v2/team/app/blobs/${image.config}`)).status).toBe(200);
      expect((await client.get(`/v2/team/app/blobs/${image.config}`)).status).toBe(200);
    }
    expect(between.count(/GET .*blobs/)).toBe(2);
    expect(between.count(/GET .*manifests/)).toBe(1);
    expect(between.count(/HEAD .*manifests/)).toBe(1);
    const moved = await upstream.client.pushImage('team/app', 'v1', 'new layer');
    expect((await client.get('/v2/team/app/manifests/v1')).body.toString()).toBe(moved.text);
    expect((await client.get('/v2/team/app/tags/list')).json().tags).toEqual(['v1']);
    await between[Symbol.asyncDispose]();
    expect((await client.get('/v2/team/app/manifests/v1')).body.toString()).toBe(moved.text);
    expect((await client.get(`/v2/team/app/manifests/${image.digest}`)).body.toString()).toBe(image.text);
    expect((await client.get(`/v2/team/app/blobs/${image.layer}`)).body.toString()).toBe('layer');
    expect((await client.get('/v2/team/app/tags/list')).json().tags).toEqual(['v1']);
    const missing = await client.get(`/v2/team/app/blobs/${moved.layer}`);
    expect([missing.status, missing.code]).toEqual([503, 'UNAVAILABLE']);
    expect((await client.get('/v2/team/app/manifests/v2')).status).toBe(503);
  });

  it('lists all referrers of upstream, those of a registry without referrers as well', async () => {
    await using upstream = await TestRegistry.start();
    const { between, cache, client } = await start(upstream);
    await using _ = between;
    await using __ = cache;
    const subject = sha256('a subject');
    const index = (...names: string[]) => {
      const manifests = names.map((name) => ({ mediaType: mediaTypes.ociManifest, digest: sha256(name), size: 1 }));
      return { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests };
    };
    between.intercept = (incoming, response) => {
      if (!incoming.url!.startsWith(`/v2/a/referrers/${subject}`)) return false;
      const isFirst = !incoming.url!.includes('?');
      if (isFirst) response.setHeader('Link', `</v2/a/referrers/${subject}?page=two>; rel="next"`);
      response.end(JSON.stringify(isFirst ? index('one') : { manifests: [null, ...index('two').manifests] }));
      return true;
    };
    const listed = async () =>
      (await client.get(`/v2/a/referrers/${subject}`)).json().manifests.map(({ digest }) => digest);
    expect(await listed()).toEqual([sha256('one'), sha256('two')].sort());
    between.intercept = (incoming, response) => {
      const { url } = incoming;
      if (!url!.startsWith('/v2/a/')) return false;
      const isTag = url === `/v2/a/manifests/${subject.replace(':', '-')}`;
      response.writeHead(isTag ? 200 : 404, { 'Content-Type': mediaTypes.ociIndex });
      response.end(isTag ? JSON.stringify(index('three')) : '{}');
      return true;
    };
    expect(await listed()).toEqual([sha256('three')]);
    await between[Symbol.asyncDispose]();
    expect(await listed()).toEqual([sha256('three')]);
  });

  it('says what upstream says of what is not there, and is not pushed to', async () => {
    await using upstream = await TestRegistry.start();
    await upstream.client.pushImage('a', 'v1');
    const { between, cache, client } = await start(upstream);
    await using _ = between;
    await using __ = cache;
    expect((await client.get('/v2/a/manifests/none')).code).toBe('MANIFEST_UNKNOWN');
    expect((await client.get(`/v2/a/blobs/${sha256('none')}`)).code).toBe('BLOB_UNKNOWN');
    expect((await client.head(`/v2/a/blobs/${sha256('none')}`)).status).toBe(404);
    await client.get('/v2/a/manifests/v1');
    await upstream.client.delete('/v2/a/manifests/v1');
    expect((await client.get('/v2/a/manifests/v1')).code).toBe('MANIFEST_UNKNOWN');
    expect((await client.send('POST', '/v2/a/blobs/uploads/')).status).toBe(405);
    expect((await client.delete('/v2/a/manifests/v1')).status).toBe(405);
  });

  it('fetches a blob once for many readers, who get it while it comes', async () => {
    await using upstream = await TestRegistry.start();
    const content = Buffer.alloc(8 * 1024 * 1024, 'abcdefg');
    const digest = await upstream.client.pushBlob('a', content);
    const { between, cache, client } = await start(upstream);
    await using _ = between;
    await using __ = cache;
    let release: (() => void) | undefined;
    between.intercept = ({ method }, response) => {
      if (method !== 'GET') return false;
      response.writeHead(200, { 'Content-Length': content.length });
      response.write(content.subarray(0, 6 * 1024 * 1024));
      release = () => response.end(content.subarray(6 * 1024 * 1024));
      return true;
    };
    const firstBytes = new Promise<void>((resolve) => {
      request({ host: '127.0.0.1', port: client.port, path: `/v2/a/blobs/${digest}` }, (answer) => {
        answer.once('data', () => {
          resolve();
          answer.resume();
        });
      }).end();
    });
    const readers = Array.from({ length: 10 }, () => client.get(`/v2/a/blobs/${digest}`));
    const part = client.get(`/v2/a/blobs/${digest}`, { Range: 'bytes=7000000-7000009' });
    await firstBytes;
    release!();
    for (const reader of readers) expect((await reader).body.equals(content)).toBe(true);
    expect((await part).body.equals(content.subarray(7_000_000, 7_000_010))).toBe(true);
    expect(between.count(/GET .*blobs/)).toBe(1);
  });

  it('goes on where a transfer broke', async () => {
    await using upstream = await TestRegistry.start();
    const content = Buffer.alloc(3 * 1024 * 1024, 'abcdefg');
    const digest = await upstream.client.pushBlob('a', content);
    const { between, cache, client } = await start(upstream);
    await using _ = between;
    await using __ = cache;
    const ranges: (string | undefined)[] = [];
    between.intercept = ({ headers }, response) => {
      ranges.push(headers.range);
      if (ranges.length > 1) return false;
      response.writeHead(200, { 'Content-Length': content.length });
      response.write(content.subarray(0, 2 * 1024 * 1024), () => response.destroy());
      return true;
    };
    expect((await client.get(`/v2/a/blobs/${digest}`)).body.equals(content)).toBe(true);
    expect(ranges).toEqual([undefined, expect.stringMatching(/^bytes=\d+-$/)]);
  });

  it('gives nobody a whole blob or a manifest that is forged, and keeps neither', async () => {
    await using upstream = await TestRegistry.start();
    const image = await upstream.client.pushImage('a', 'v1');
    const { between, cache, client } = await start(upstream);
    await using _ = between;
    await using __ = cache;
    between.intercept = (_request, response) => {
      response.writeHead(200, { 'Content-Length': 6, 'Content-Type': 'application/octet-stream' }).end('forged');
      return true;
    };
    const digest = sha256('a layer');
    await expect(client.get(`/v2/a/blobs/${digest}`)).rejects.toThrow();
    expect((await client.get(`/v2/a/manifests/${image.digest}`)).status).toBe(503);
    between.intercept = () => false;
    expect((await client.get(`/v2/a/blobs/${digest}`)).status).toBe(404);
    expect((await client.get(`/v2/a/manifests/${image.digest}`)).body.toString()).toBe(image.text);
  });

  it.each([false, true])('logs in upstream (tokens: %s)', async (tokens) => {
    await using users = await TestRegistry.start();
    const htpasswd = join(users.directory, 'htpasswd');
    await writeFile(htpasswd, `cache:${hashSync('secret', 4)}\n`);
    await using upstream = await TestRegistry.start({ auth: { htpasswd, tokens } });
    upstream.client.headers = { Authorization: `Basic ${Buffer.from('cache:secret').toString('base64')}` };
    if (tokens) {
      const answer = await upstream.client.get('/token?service=wherry-registry&scope=repository:a:pull,push');
      upstream.client.headers = { Authorization: `Bearer ${answer.json().token}` };
    }
    const image = await upstream.client.pushImage('a', 'v1');
    await using cache = await TestRegistry.start({
      proxy: { url: upstream.url, username: 'cache', password: 'secret' },
    });
    expect((await cache.client.get('/v2/a/manifests/v1')).body.toString()).toBe(image.text);
    expect((await cache.client.get(`/v2/a/blobs/${image.layer}`)).body.toString()).toBe('layer');
    await using other = await TestRegistry.start({
      proxy: { url: upstream.url, username: 'cache', password: 'wrong' },
    });
    expect((await other.client.get('/v2/a/manifests/v1')).code).toBe('MANIFEST_UNKNOWN');
  });

  it('follows to where upstream keeps blobs, and tells its password to nobody there', async () => {
    await using users = await TestRegistry.start();
    const htpasswd = join(users.directory, 'htpasswd');
    await writeFile(htpasswd, `cache:${hashSync('secret', 4)}\n`);
    await using upstream = await TestRegistry.start({ auth: { htpasswd } });
    const Authorization = `Basic ${Buffer.from('cache:secret').toString('base64')}`;
    upstream.client.headers = { Authorization };
    const image = await upstream.client.pushImage('a', 'v1', 'stored elsewhere');
    await using store = await Between.start(upstream);
    const asked: unknown[] = [];
    store.intercept = ({ url, headers }, response) => {
      asked.push([url, headers.authorization]);
      response.writeHead(200, { 'Content-Length': 16 }).end('stored elsewhere');
      return true;
    };
    const between = await Between.start(upstream);
    await using _ = between;
    between.intercept = ({ url, headers }, response) => {
      if (headers.authorization === undefined || !url!.includes(`blobs/${image.layer}`)) return false;
      response.writeHead(307, { Location: `${store.url}/kept?signature=x` }).end();
      return true;
    };
    await using cache = await TestRegistry.start({
      proxy: { url: between.url, username: 'cache', password: 'secret' },
    });
    expect((await cache.client.get(`/v2/a/blobs/${image.layer}`)).body.toString()).toBe('stored elsewhere');
    expect(asked).toEqual([['/kept?signature=x', undefined]]);
  });

  it('drops what nobody pulled for a week', async () => {
    const clock = new VirtualClock(Date.now());
    await using upstream = await TestRegistry.start();
    const used = await upstream.client.pushImage('a', 'used', 'used');
    const image = await upstream.client.pushImage('a', 'unused', 'unused');
    const { between, cache, client } = await start(upstream, { clock });
    await using _ = between;
    await using __ = cache;
    const day = 24 * 60 * 60 * 1000;
    for (const tag of ['used', 'unused']) await client.get(`/v2/a/manifests/${tag}`);
    for (const { layer } of [used, image]) await client.get(`/v2/a/blobs/${layer}`);
    await clock.advance(6 * day);
    await client.get('/v2/a/manifests/used');
    await clock.advance(2 * day);
    expect(await cache.registry.collectGarbage()).toMatchObject({ manifests: 1, links: 1, blobs: 2 });
  });
});
