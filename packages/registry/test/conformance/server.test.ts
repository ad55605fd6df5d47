import { expect, it } from 'vitest';
import { onEachStorage } from '../storages.ts';
import { sha256, TestRegistry } from '../test-client.ts';

// What distribution-spec 1.1 requires of a server as a whole.

onEachStorage((client) => {
  it.each([
    ['POST', '/v2/', 'GET, HEAD'],
    ['DELETE', '/v2/_catalog', 'GET, HEAD'],
    ['PUT', '/v2/a/tags/list', 'GET, HEAD'],
    ['POST', '/v2/a/manifests/x', 'GET, HEAD, PUT, DELETE'],
    ['PUT', `/v2/a/blobs/${sha256('')}`, 'GET, HEAD, DELETE'],
    ['GET', '/v2/a/blobs/uploads/', 'POST'],
    ['POST', `/v2/a/referrers/${sha256('')}`, 'GET, HEAD'],
  ])('answers 405 to %s %s', async (method, path, allow) => {
    const answer = await client.send(method, path);
    expect([answer.status, answer.code, answer.headers.allow]).toEqual([405, 'UNSUPPORTED', allow]);
  });

  it('answers HEAD with what GET has before its body, everywhere', async () => {
    const { layer, digest } = await client.pushImage('head/app', 'v1');
    const upload = await client.begin('head/app');
    for (const path of [
      '/v2/',
      '/v2/_catalog?n=1',
      '/v2/head/app/tags/list',
      '/v2/head/app/manifests/v1',
      `/v2/head/app/blobs/${layer}`,
      `/v2/head/app/referrers/${digest}?artifactType=a`,
      upload,
      '/v2/head/app/manifests/none',
      '/v2/none/tags/list',
      '/healthz',
      '/',
      '/repositories/head/app:v1',
    ]) {
      const [get, head] = [await client.get(path), await client.head(path)];
      const { date: _, ...expected } = get.headers;
      expect([path, head.status, head.headers, head.body.length]).toEqual([
        path,
        get.status,
        expect.objectContaining(expected),
        0,
      ]);
    }
    for (const path of ['/healthz', '/metrics']) expect((await client.send('POST', path)).status).toBe(405);
  });

  it('takes repositories whose parts are words of the API', async () => {
    for (const name of ['tags/list', 'a/blobs/uploads', 'manifests', 'v2/referrers/x']) {
      const image = await client.pushImage(name, 'v1');
      expect((await client.get(`/v2/${name}/manifests/v1`)).body.toString()).toBe(image.text);
      expect((await client.get(`/v2/${name}/tags/list`)).json().name).toBe(name);
    }
  });

  it('writes whole URLs where it is told to', async () => {
    await using other = await TestRegistry.start({ absoluteLocations: true });
    const { location } = (await other.client.send('POST', '/v2/a/blobs/uploads/')).headers;
    expect(location).toMatch(new RegExp(`^${other.url}/v2/a/blobs/uploads/`));
    await using named = await TestRegistry.start({ absoluteLocations: true, externalUrl: 'https://images.example' });
    expect(await named.client.begin('a')).toMatch(/^https:\/\/images\.example\/v2\/a\/blobs\/uploads\//);
  });

  it('refuses changes in read-only mode', async () => {
    await using other = await TestRegistry.start({ readOnly: true });
    for (const [method, path] of [
      ['POST', 'blobs/uploads/'],
      ['PUT', 'manifests/x'],
      ['DELETE', 'manifests/x'],
    ] as const) {
      const refused = await other.client.send(method, `/v2/a/${path}`);
      expect([refused.status, refused.code]).toEqual([405, 'UNSUPPORTED']);
      expect(refused.headers.allow).toBe(path.startsWith('blobs') ? '' : 'GET, HEAD');
    }
    expect((await other.client.get('/v2/a/manifests/x')).status).toBe(404);
  });

  it('deletes nothing where it is told so, but lets uploads be given up', async () => {
    await using other = await TestRegistry.start({ keepAll: true });
    const image = await other.client.pushImage('a', 'v1');
    for (const path of ['manifests/v1', `manifests/${image.digest}`, `blobs/${image.layer}`]) {
      const refused = await other.client.delete(`/v2/a/${path}`);
      expect([refused.status, refused.code]).toEqual([405, 'UNSUPPORTED']);
      expect(refused.headers.allow).toBe(path.startsWith('blobs') ? 'GET, HEAD' : 'GET, HEAD, PUT');
      expect((await other.client.get(`/v2/a/${path}`)).status).toBe(200);
    }
    expect((await other.client.delete(await other.client.begin('a'))).status).toBe(204);
  });
});
