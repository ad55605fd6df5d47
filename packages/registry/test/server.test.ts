import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect as connectHttp2 } from 'node:http2';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { systemClock } from '@wherry/base';
import { ensurePki } from '@wherry/bootstrap';
import { mediaTypes } from '@wherry/oci';
import { hashSync } from 'bcryptjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { escapeHtml, html } from '../src/page/html.ts';
import { imageManifest, sha256, TestRegistry } from './test-client.ts';

describe('TLS', () => {
  let folder: string;
  const issue = async (name: string): Promise<{ certificate: string; ca: string }> => {
    const { apiserver, ca } = await ensurePki({
      directory: join(folder, name),
      serverNames: ['127.0.0.1'],
      clock: systemClock,
    });
    await writeFile(join(folder, `${name}.key`), apiserver.key);
    await writeFile(join(folder, `${name}.crt`), apiserver.certificate);
    return { certificate: apiserver.certificate, ca: ca.certificate };
  };
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'wherry-registry-tls-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('speaks HTTP/1.1 and HTTP/2, pushes and pulls', async () => {
    const { ca } = await issue('one');
    await using registry = await TestRegistry.start();
    const image = await registry.client.pushImage('a', 'v1', Buffer.alloc(3_000_000, 7));
    const { port, url } = await registry.registry.listen({
      tls: { certificate: join(folder, 'one.crt'), key: join(folder, 'one.key') },
    });
    expect(url).toBe(`https://127.0.0.1:${port}`);
    const status = await new Promise((resolve, reject) => {
      request({ host: '127.0.0.1', port, path: '/v2/', ca, agent: false }, (answer) =>
        resolve(answer.resume().statusCode),
      )
        .on('error', reject)
        .end();
    });
    expect(status).toBe(200);
    const session = connectHttp2(`https://127.0.0.1:${port}`, { ca });
    const pulls = Array.from({ length: 4 }, async () => {
      const stream = session.request({ ':path': `/v2/a/blobs/${image.layer}` });
      let size = 0;
      stream.on('data', (chunk: Buffer) => {
        size += chunk.length;
      });
      await once(stream, 'end');
      return size;
    });
    expect(await Promise.all(pulls)).toEqual([3_000_000, 3_000_000, 3_000_000, 3_000_000]);
    // Pushes are not held up by windows of 64 KiB.
    expect(session.remoteSettings.initialWindowSize).toBe(1024 * 1024);
    expect(session.state.remoteWindowSize).toBeGreaterThan(1024 * 1024);
    const begun = session.request({ ':path': '/v2/a/blobs/uploads/', ':method': 'POST' });
    const [headers] = (await once(begun, 'response')) as [Record<string, unknown>];
    expect([headers[':status'], headers.location]).toEqual([202, expect.stringMatching(/^\/v2\/a\/blobs\/uploads\//)]);
    const missing = session.request({ ':path': '/v2/a/manifests/none', ':method': 'HEAD' });
    expect(((await once(missing, 'response')) as [Record<string, unknown>])[0][':status']).toBe(404);
    session.destroy();
  });

  it('takes another certificate when the files change', async () => {
    const first = await issue('first');
    const second = await issue('second');
    const files = { certificate: join(folder, 'live.crt'), key: join(folder, 'live.key') };
    const use = async (name: string) => {
      await copyFile(join(folder, `${name}.key`), files.key);
      await copyFile(join(folder, `${name}.crt`), files.certificate);
    };
    await use('first');
    let loaded: () => void = () => undefined;
    const info = (message: string) => message === 'TLS certificate loaded' && loaded();
    const log = { debug: () => undefined, info, warn: () => undefined, error: () => undefined, with: () => log };
    await using registry = await TestRegistry.start({ log });
    const { port } = await registry.registry.listen({ tls: files });
    const shown = async (): Promise<string> => {
      const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false });
      await once(socket, 'secureConnect');
      const { raw } = socket.getPeerCertificate();
      socket.destroy();
      return new X509Certificate(raw).fingerprint256;
    };
    expect(await shown()).toBe(new X509Certificate(first.certificate).fingerprint256);
    const changed = new Promise<void>((resolve) => {
      loaded = resolve;
    });
    await use('second');
    await changed;
    expect(await shown()).toBe(new X509Certificate(second.certificate).fingerprint256);
  });

  it('is refused with files that do not fit', async () => {
    await issue('left');
    await issue('right');
    await using registry = await TestRegistry.start();
    const tls = { certificate: join(folder, 'left.crt'), key: join(folder, 'right.key') };
    await expect(registry.registry.listen({ tls })).rejects.toMatchObject({ code: 'invalid' });
  });
});

it('says that a port is taken', async () => {
  await using registry = await TestRegistry.start();
  await expect(registry.registry.listen({ port: registry.client.port })).rejects.toMatchObject({ code: 'unavailable' });
});

it('counts for Prometheus, without names', async () => {
  await using registry = await TestRegistry.start();
  await registry.client.pushImage('secret/name', 'v1', 'layer');
  expect((await registry.client.get('/healthz')).body.toString()).toBe('ok\n');
  const text = (await registry.client.get('/metrics')).body.toString();
  expect(text).toContain('wherry_registry_requests_total{method="POST",route="uploads",code="201"} 2');
  expect(text).toContain('wherry_registry_repositories 1');
  expect(text).toMatch(/wherry_registry_received_bytes_total\{route="uploads"\} \d+/);
  expect(text).not.toContain('secret');
  expect(seriesOf(text).size).toBeGreaterThan(40);
});

/** Reads the text format of Prometheus 0.0.4 strictly: every sample of a declared type, once, histograms that add up. */
function seriesOf(text: string): ReadonlyMap<string, number> {
  const types = new Map<string, string>();
  const series = new Map<string, number>();
  expect(text.endsWith('\n')).toBe(true);
  for (const line of text.split('\n').filter((line) => line !== '')) {
    if (line.startsWith('# HELP ')) continue;
    const type = /^# TYPE ([a-zA-Z_:][\w:]*) (counter|gauge|histogram)$/.exec(line);
    if (type) {
      expect(types.has(type[1]!)).toBe(false);
      types.set(type[1]!, type[2]!);
      continue;
    }
    const sample = /^([a-zA-Z_:][\w:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)+\})? (-?[\d.e+-]+|\+Inf)$/.exec(
      line,
    );
    expect([line, sample]).toEqual([line, expect.anything()]);
    const [, name, labels = '', value] = sample!;
    expect([name, types.get(name!) ?? types.get(name!.replace(/_(bucket|sum|count)$/, ''))]).toEqual([
      name,
      expect.any(String),
    ]);
    expect(series.has(name! + labels)).toBe(false);
    series.set(name! + labels, Number(value));
  }
  for (const [key, value] of series)
    if (key.includes('le="+Inf"'))
      expect(series.get(key.replace('_bucket{', '_count{').replace(/le="\+Inf",?/, ''))).toBe(value);
  return series;
}

describe('the catalogue', () => {
  it('escapes everything that is no markup', () => {
    expect(html`<p>${'<script>"&\''}</p>${[html`<b>`, 1]}${undefined}`.text).toBe(
      '<p>&lt;script&gt;&quot;&amp;&#39;</p><b>1',
    );
    expect(escapeHtml('a\u202eb\u0000\u001b')).toBe('a\\u202eb\\u0000\\u001b');
  });

  it('shows repositories, tags and images, and lets nothing of them run', async () => {
    await using registry = await TestRegistry.start();
    const { client } = registry;
    expect((await client.get('/')).body.toString()).toContain(`docker push 127.0.0.1:${client.port}/NAME:TAG`);
    const image = await client.pushImage('team/app', 'v1', 'x'.repeat(5000));
    const nasty = JSON.stringify({ config: { Cmd: ['<script>alert(1)</script>'] } });
    const config = await client.pushBlob('team/app', nasty);
    const type = '<img src=x onerror=alert(1)>';
    const manifest = {
      ...imageManifest({ digest: config, size: nasty.length }),
      artifactType: type,
      layers: [{ mediaType: type, digest: image.layer, size: 5000 }],
    };
    expect((await client.pushManifest('team/app', 'nasty', manifest)).status).toBe(201);
    const page = async (path: string) => {
      const answer = await client.get(path);
      expect(answer.status).toBe(200);
      expect(answer.headers['content-security-policy']).toMatch(/^default-src 'none'; style-src 'sha256-[^']+'/);
      const text = answer.body.toString();
      expect(text).not.toMatch(/<script|<img|https?:\/\//);
      return text;
    };
    expect(await page('/')).toContain('<a href="/repositories/team/app">team/app</a>');
    expect(await page('/repositories/team/app')).toMatch(/<a href="\/repositories\/team\/app:v1">v1<\/a>.*5\.\d kB/);
    const v1 = await page('/repositories/team/app:v1');
    expect(v1).toContain(`docker pull 127.0.0.1:${client.port}/team/app:v1`);
    expect(v1).toContain(image.layer);
    expect(v1).toContain(mediaTypes.ociManifest);
    expect(await page('/repositories/team/app:nasty')).toContain('&lt;script&gt;alert(1)&lt;/script&gt;');
    const index = {
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: [
        {
          mediaType: mediaTypes.ociManifest,
          digest: image.digest,
          size: image.size,
          platform: { os: 'linux', architecture: 'arm64' },
        },
      ],
    };
    await client.pushManifest('team/app', 'index', index);
    const link = `<a href="/repositories/team/app@${image.digest}"><code>${image.digest}</code></a>`;
    expect(await page('/repositories/team/app:index')).toContain(`${link}</td><td>linux/arm64`);
    const byDigest = await page(`/repositories/team/app@${image.digest}`);
    expect(byDigest).toContain(`docker pull 127.0.0.1:${client.port}/team/app@${image.digest}`);
    expect(byDigest).not.toContain('Artifact type');
    for (const path of [
      '/repositories/none',
      '/repositories/team/app:none',
      '/repositories/../x',
      '/repositories/team/app:..',
      `/repositories/team/app@${sha256('none')}`,
      '/repositories/team/app@v1',
      '/favicon.ico',
    ])
      expect((await client.get(path)).status).toBe(404);
    expect((await client.send('POST', '/')).status).toBe(405);
  });

  it('asks for a password, and shows what its owner may see', async () => {
    await using users = await TestRegistry.start();
    const htpasswd = join(users.directory, 'htpasswd');
    await writeFile(htpasswd, `alice:${hashSync('secret', 4)}\n`);
    for (const tokens of [false, true]) {
      const rules = [{ users: ['alice'], repositories: ['mine/*'], actions: ['pull'] as const }];
      await using registry = await TestRegistry.start({ auth: { htpasswd, tokens, rules } });
      const refused = await registry.client.get('/');
      expect([refused.status, refused.headers['www-authenticate']]).toEqual([401, expect.stringMatching(/^Basic /)]);
      const headers = { Authorization: `Basic ${Buffer.from('alice:secret').toString('base64')}` };
      expect((await registry.client.get('/', headers)).status).toBe(200);
      expect((await registry.client.get('/repositories/other/x', headers)).status).toBe(404);
    }
  });
});
